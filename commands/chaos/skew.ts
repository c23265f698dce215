import { Args } from '@oclif/core'
import { ChaosCommand, faultFlags } from '../../src/terminal/chaos-command.js'
import { CliError } from '../../src/terminal/errors.js'
import { durationFlagOf, numberFlag } from '../../src/terminal/flags.js'

export default class ChaosSkew extends ChaosCommand {
  static override summary = 'Make the clock of a node jump or run fast, and prove that nothing was lost.'
  static override description =
    'The clock of the engine, by which it counts its timeouts, jumps ahead once and then runs at the rate; when it heals it runs on from there, for it never goes back. The clock of the machine is left alone. Clients write meanwhile; in the end every acknowledged write must be there and the cluster as before, or the exit code is 3.'
  static override examples = [
    '<%= config.bin %> chaos skew leader --by 2s',
    { description: 'Half again as fast as the others', command: '<%= config.bin %> chaos skew n2 --rate 1.5 --for 30s' },
  ]
  static override args = {
    node: Args.string({ required: true, ignoreStdin: true, description: 'its name or host:port; leader, follower or random' }),
  }
  static override flags = {
    by: durationFlagOf({ description: 'how far it jumps ahead (default 0)' }),
    rate: numberFlag({ least: 0.1, most: 10, description: 'how many times as fast it runs (default 1)' }),
    ...faultFlags,
  }
  static override seeAlso = ['chaos pause', 'chaos delay']

  async run() {
    const { args, flags } = await this.parse(ChaosSkew)
    const timing = this.timing(flags)
    if (!flags.by && (flags.rate ?? 1) === 1)
      throw new CliError('E_USAGE', 'the clock would go as ever', { hint: 'Give --by 2s, or --rate 1.5.' })
    const connection = this.target(flags)
    const { conductFault } = await import('../../src/local/chaos.js')
    const { partOf } = await import('../../src/admin/chaos/plan.js')
    const draft = { kind: 'skew' as const, who: partOf(args.node), aheadMs: flags.by ?? 0, rate: flags.rate ?? 1 }
    return await this.conduct(flags, (settings) => conductFault(connection, { draft, timing }, settings))
  }
}
