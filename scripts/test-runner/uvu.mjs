// uvu's `suite` and `test`, reporting what uvu itself lets pass: a suite that never ran, `only`, a hook that threw.
import * as uvu from 'uvu'
import { report, state } from './report.mjs'

export const { exec } = uvu
export const suite = (name = '', context = {}) => observe(uvu.suite(name, context), name)
export const test = suite()

// uvu keeps what run() queued here; each entry runs one suite and resolves to [errors, passed, skipped, total].
const queue = globalThis.UVU_QUEUE[0]
const push = queue.push
queue.push = (run) => {
  state.pendingSuites += 1
  report({ event: 'queued' })
  return push.call(queue, async () => {
    try {
      const result = await run()
      const [, passed, skipped, total] = result
      report({ event: 'suite', passed, skipped, total, assertions: state.assertions })
      return result
    } finally {
      state.pendingSuites -= 1
      if (state.pendingSuites === 0) state.whenIdle()
    }
  })
}

function observe(real, suiteName) {
  const key = Symbol(suiteName)
  const hook = (kind, handler) => async (context) => {
    try {
      await handler(context)
    } catch (error) {
      report({ event: 'hook', suite: suiteName, kind, error: error?.stack ?? String(error) })
      throw error
    }
  }
  const registered = (name, handler) => {
    state.unrun.set(key, [...(state.unrun.get(key) ?? []), name])
    return async (context) => {
      report({ event: 'start', suite: suiteName, name })
      await handler(context)
      report({ event: 'end', suite: suiteName, name })
    }
  }
  const observed = (name, handler) => real(name, registered(name, handler))
  observed.only = (name, handler) => {
    report({ event: 'only', name })
    return real.only(name, registered(name, handler))
  }
  observed.skip = (...args) => real.skip(...args)
  observed.before = Object.assign((handler) => real.before(hook('before', handler)), {
    each: (handler) => real.before.each(hook('before.each', handler)),
  })
  observed.after = Object.assign((handler) => real.after(hook('after', handler)), {
    each: (handler) => real.after.each(hook('after.each', handler)),
  })
  observed.run = () => {
    state.unrun.delete(key)
    real.run()
  }
  return observed
}
