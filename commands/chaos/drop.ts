import { Args } from '@oclif/core'
import { ChaosCommand, faultFlags } from '../../src/terminal/chaos-command.js'
import { numberFlag } from '../../src/terminal/flags.js'

export default class ChaosDrop extends ChaosCommand {
  static override summary = 'Lose some of what members send to each other, and prove that nothing was lost.'
  static override description =
    'Whole messages are lost before they are sent; a stream that loses one breaks, because it promises their order. Clients write meanwhile; in the end every acknowledged write must be there and the cluster as before, or the exit code is 3.'
  static override examples = [
    { description: 'Of what everybody sends', command: '<%= config.bin %> chaos drop --pct 10' },
    '<%= config.bin %> chaos drop n2 --pct 50 --for 20s',
  ]
  static override args = {
    node: Args.string({ ignoreStdin: true, description: 'only what this one sends: name or host:port; leader, follower or random' }),
  }
  static override flags = {
    pct: numberFlag({ required: true, least: 0, most: 100, description: 'of a hundred messages' }),
    ...faultFlags,
  }
  static override seeAlso = ['chaos delay', 'chaos partition']

  async run() {
    const { args, flags } = await this.parse(ChaosDrop)
    const timing = this.timing(flags)
    const connection = this.target(flags)
    const { conductFault } = await import('../../src/local/chaos.js')
    const { partOf } = await import('../../src/admin/chaos/plan.js')
    const draft = { kind: 'drop' as const, who: args.node === undefined ? null : partOf(args.node), percent: flags.pct }
    return await this.conduct(flags, (settings) => conductFault(connection, { draft, timing }, settings))
  }
}
