import type { Hook } from '@oclif/core'
import { didYouMean } from './did-you-mean.js'
import { CliError } from './errors.js'
import { writeError } from './startup-error.js'

interface Commands {
  readonly commandIDs: readonly string[]
  readonly topics: readonly { readonly name: string }[]
  findCommand(id: string): { readonly args?: object } | undefined
}

/** Says which command was likely meant; never runs it, never asks. Exit 127, or 2 when the command exists and the rest does not fit. */
export function commandError(id: string, config: Commands): CliError {
  const words = id.split(':')
  if (id.startsWith('-')) {
    return new CliError('E_USAGE', `the command comes first, then its flags; got ${words[0]}`, {
      hint: 'raftctl COMMAND [flags]; see raftctl --help',
    })
  }
  for (let length = words.length - 1; length > 0; length--) {
    const prefix = words.slice(0, length).join(':')
    if (!config.findCommand(prefix)) continue
    const name = prefix.replaceAll(':', ' ')
    return new CliError('E_USAGE', `unexpected argument ${words[length]}`, { hint: `raftctl ${name} --help` })
  }
  const typed = words.join(' ')
  const best = closest(words, config)
  return new CliError('E_COMMAND', `no command ${typed}`, {
    hint: best === null ? 'See what exists: raftctl --help' : `Did you mean: raftctl ${best}`,
    details: { command: typed, didYouMean: best },
  })
}

/** Whole ids first, then the verb within the right topic, then a topic, then a verb that belongs to one topic only. */
function closest(words: readonly string[], config: Commands): string | null {
  const ids = config.commandIDs.map((id) => id.replaceAll(':', ' '))
  const topics = config.topics.map((topic) => topic.name.replaceAll(':', ' '))
  const [first = '', second] = words
  if (second !== undefined && topics.includes(first)) {
    const verbs = ids.filter((id) => id.startsWith(`${first} `)).map((id) => id.slice(first.length + 1))
    const verb = didYouMean(second, verbs)
    return verb === null ? `${first} --help` : `${first} ${verb}`
  }
  for (let length = Math.min(words.length, 2); length > 0; length--) {
    const found = didYouMean(words.slice(0, length).join(' '), [...ids, ...topics])
    if (found !== null) return topics.includes(found) && !ids.includes(found) ? `${found} --help` : found
  }
  const topic = didYouMean(first, topics)
  if (topic !== null && second !== undefined) return closest([topic, ...words.slice(1)], config) ?? `${topic} --help`
  const sameVerb = ids.filter((id) => id.split(' ')[1] === first)
  return sameVerb.length === 1 ? (sameVerb[0] as string) : null
}

const commandNotFound: Hook<'command_not_found'> = async (options) => {
  const error = commandError(options.id, options.config)
  writeError(error, process.argv.slice(2))
  process.exitCode = error.exitCode
}

export default commandNotFound
