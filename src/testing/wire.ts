import type { Answer } from '../raft/messages.js'

/** What a wire does to an object: the receiver shares nothing with the sender, and cannot change what it got. */
export function frozen<T extends object>(message: T): T {
  const copy = { ...message } as Record<string, unknown>
  for (const key in copy) {
    const value = copy[key]
    if (typeof value !== 'object' || value === null) continue
    if (value instanceof Uint8Array) copy[key] = Buffer.from(value)
    else if (value instanceof Map) copy[key] = new Map(value)
    else if (Array.isArray(value)) copy[key] = Object.freeze([...value])
  }
  return Object.freeze(copy) as T
}

/** An answer given twice is a bug of whoever gives it. */
export function onlyOnce<R>(what: string, answer: Answer<R>): Answer<R> {
  let answered = false
  return (status, response) => {
    if (answered) throw new Error(`${what} was answered twice`)
    answered = true
    answer(status, response)
  }
}
