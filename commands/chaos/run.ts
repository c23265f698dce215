import { Args } from '@oclif/core'
import { ChaosCommand, chaosFlags } from '../../src/terminal/chaos-command.js'
import { wholeNumberFlag } from '../../src/terminal/flags.js'

export default class ChaosRunScenario extends ChaosCommand {
  static override summary = 'Run a scenario of faults, and prove that nothing was lost.'
  static override description =
    'A scenario is a YAML file of steps: what is broken, who it hits, when and for how long; or faults drawn at random. The seed decides what is drawn; who leads then is up to the cluster. Clients write meanwhile; in the end every acknowledged write must be there and the cluster as before, or the exit code is 3. Examples stand in examples/chaos, the schema of the file in schemas/chaos-scenario.json.'
  static override examples = [
    '<%= config.bin %> chaos run examples/chaos/lose-the-leader.yaml',
    { description: 'The same faults again', command: '<%= config.bin %> chaos run examples/chaos/anything.yaml --seed 7' },
  ]
  static override args = { scenario: Args.string({ required: true, ignoreStdin: true, description: 'a file, such as scenario.yaml' }) }
  static override flags = {
    seed: wholeNumberFlag({ min: 0, description: 'what is drawn (default: another one each time, told in the end)' }),
    ...chaosFlags,
  }
  static override seeAlso = ['chaos kill', 'chaos partition', 'chaos heal']

  async run() {
    const { args, flags } = await this.parse(ChaosRunScenario)
    const connection = this.target(flags)
    const { conductScenario } = await import('../../src/local/chaos.js')
    const { readScenario } = await import('../../src/admin/chaos/scenario.js')
    const scenario = await readScenario(args.scenario)
    return await this.conduct(
      { ...flags, writers: flags.writers ?? scenario.writers ?? undefined, settle: flags.settle ?? scenario.settleMs ?? undefined },
      (settings) => conductScenario(connection, { scenario, seed: flags.seed ?? null }, settings),
    )
  }
}
