import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { CliError } from '../../../src/terminal/errors.js'
import { type Asking, answeringFlag, confirmPlan, type Drafted, levelOf } from '../../../src/terminal/plan-decision.js'
import type { ConfirmationLevel, PlanPicture } from '../../../src/terminal/plan-view.js'

const picture: PlanPicture = {
  id: 'a',
  command: 'member remove',
  title: 'remove n3',
  impact: 'membership',
  level: 'moderate',
  context: 'prod',
  clusterId: null,
  before: null,
  after: null,
  facts: [],
  gates: [],
  warnings: [],
  steps: ['one'],
  forced: false,
  reason: null,
}

const piped = { json: false, noInput: true }

/** Pretends that both ends are a terminal while `act` runs. */
async function onTerminal<T>(act: () => Promise<T>): Promise<T> {
  const before = [process.stdin.isTTY, process.stderr.isTTY, process.env.CI] as const
  Object.assign(process.stdin, { isTTY: true })
  Object.assign(process.stderr, { isTTY: true })
  delete process.env.CI
  try {
    return await act()
  } finally {
    Object.assign(process.stdin, { isTTY: before[0] })
    Object.assign(process.stderr, { isTTY: before[1] })
    if (before[2] !== undefined) process.env.CI = before[2]
  }
}

async function refusal(work: Promise<unknown>): Promise<CliError> {
  try {
    await work
  } catch (thrown) {
    assert.instance(thrown, CliError)
    return thrown as CliError
  }
  assert.unreachable('it was agreed to')
  throw new Error()
}

const options = { question: 'Remove n3 from prod?', name: 'prod', production: false, show: () => {} }
const at = (level: ConfirmationLevel) => ({ ...picture, level })
const never: Asking = {
  yes: () => assert.unreachable('nobody may be asked') as never,
  typed: () => assert.unreachable('nobody may be asked') as never,
}

test('production raises every level by one', () => {
  assert.equal(
    (['mild', 'moderate', 'severe'] as const).map((level) => levelOf(level, true)),
    ['moderate', 'severe', 'severe'],
  )
  assert.equal(
    (['mild', 'moderate', 'severe'] as const).map((level) => levelOf(level, false)),
    ['mild', 'moderate', 'severe'],
  )
  assert.equal([answeringFlag('moderate', 'prod'), answeringFlag('severe', 'prod')], ['--yes', '--confirm=prod'])
})

test('who cannot be asked is told which flag answers, and with it goes on', async () => {
  const cases = [
    ['mild', false, null],
    ['mild', true, '--yes'],
    ['moderate', false, '--yes'],
    ['moderate', true, '--confirm=prod'],
    ['severe', false, '--confirm=prod'],
  ] as const
  for (const [level, production, flag] of cases) {
    const own = { ...options, production }
    if (flag === null) {
      assert.is((await confirmPlan(at(level), {}, own, piped, never)).level, level)
      continue
    }
    const error = await refusal(confirmPlan(at(level), {}, own, piped, never))
    assert.equal([error.exitCode, error.details.flag, error.hint], [12, flag, `Add ${flag}.`], `${level} ${production}`)
    const flags = flag === '--yes' ? { yes: true } : { confirm: 'prod' }
    assert.is((await confirmPlan(at(level), flags, own, piped, never)).level, level)
  }
})

test('--yes does not answer a severe question, and a name that is not the one answers nothing', async () => {
  assert.is((await refusal(confirmPlan(at('severe'), { yes: true }, options, piped, never))).exitCode, 12)
  const wrong = await refusal(confirmPlan(at('moderate'), { yes: true, confirm: 'dev' }, options, piped, never))
  assert.equal([wrong.exitCode, /does not name prod/.test(wrong.message)], [12, true])
})

test('No is the answer unless it is Yes, and a name has to be typed whole', async () => {
  const answers = (yes: boolean, typed: string): Asking => ({ yes: async () => yes, typed: async () => typed })
  const rules = { json: false, noInput: false }
  await onTerminal(async () => {
    assert.is((await refusal(confirmPlan(at('moderate'), {}, options, rules, answers(false, '')))).exitCode, 12)
    assert.is(await confirmPlan(picture, {}, options, rules, answers(true, '')), picture)
    assert.is((await refusal(confirmPlan(at('severe'), {}, options, rules, answers(true, 'pro')))).exitCode, 12)
    assert.is((await confirmPlan(at('severe'), {}, options, rules, answers(false, ' prod '))).level, 'severe')
  })
})

/** A question that stays open until it is withdrawn `times` times, and is answered with Yes then. */
function openQuestion(times: number): Asking & { readonly asked: string[] } {
  const asked: string[] = []
  const wait = (message: string, signal: AbortSignal) => {
    asked.push(message)
    if (asked.length > times) return Promise.resolve(true)
    return new Promise<never>((_, reject) => signal.addEventListener('abort', () => reject(new Error('withdrawn'))))
  }
  return { asked, yes: wait, typed: (message, signal) => wait(message, signal).then(() => 'prod') }
}

test('a gate that turns red while the question is open withdraws it', async () => {
  const replan = async (): Promise<Drafted<PlanPicture>> => ({ plan: picture, refusal: new CliError('E_QUORUM_AT_RISK', 'n2 died') })
  const asking = openQuestion(99)
  const error = await onTerminal(() => refusal(confirmPlan(picture, {}, { ...options, replan }, { json: false, noInput: false }, asking)))
  assert.equal([error.code, error.exitCode, asking.asked.length], ['E_QUORUM_AT_RISK', 6, 1])
})

test('a cluster that can no longer be planned for withdraws it too', async () => {
  const replan = () => Promise.reject(new CliError('E_NO_LEADER', 'nobody leads'))
  const error = await onTerminal(() =>
    refusal(confirmPlan(picture, {}, { ...options, replan }, { json: false, noInput: false }, openQuestion(99))),
  )
  assert.is(error.exitCode, 4)
})

test('a plan that became another one is shown and asked about anew, and that one is agreed to', async () => {
  const other = { ...picture, steps: ['hand over to n2', 'one'] }
  const shown: PlanPicture[] = []
  const asking = openQuestion(1)
  const agreed = await onTerminal(() =>
    confirmPlan(
      picture,
      {},
      { ...options, replan: async () => ({ plan: other, refusal: null }), show: (plan) => shown.push(plan) },
      { json: false, noInput: false },
      asking,
    ),
  )
  assert.equal([agreed === other, shown.length, asking.asked.length], [true, 1, 2])
})

test.run()
