import { Args } from '@oclif/core'
import { handOverFlags } from '../../src/terminal/flags.js'
import { HandOverCommand } from '../../src/terminal/hand-over-command.js'

export default class LeaderTransfer extends HandOverCommand {
  static override summary = 'Hand leadership to another member.'
  static override description =
    'Asks the leader, wherever it is, and waits until the new one takes writes. The gap runs from the last write that the old leader acknowledged to the first entry that the new one committed; writes that arrive meanwhile are held, not failed. Without a member the one with the longest log leads next; between equals the nearest to the leader.'
  static override seeAlso = ['leader step-down', 'leader show', 'wait']
  static override examples = [
    '<%= config.bin %> leader transfer n2',
    { description: 'Whom it would choose, and why', command: '<%= config.bin %> leader transfer --dry-run' },
    { description: 'By address, from any member', command: '<%= config.bin %> leader transfer 10.0.0.2:7001 -e 10.0.0.3:7001' },
  ]
  static override args = {
    member: Args.string({ ignoreStdin: true, description: 'who leads next: name, address or PeerId; the best candidate when left out' }),
  }
  static override flags = handOverFlags

  async run() {
    const { args, flags } = await this.parse(LeaderTransfer)
    const connection = this.connection(flags)
    const { ClusterClient } = await import('../../src/admin/cluster-client.js')
    const { transferParts } = await import('../../src/admin/transfer-parts.js')
    using client = new ClusterClient(connection)
    const request = { command: this.commandName, target: args.member ?? null, exclude: null, reason: flags.reason ?? null }
    return await this.handOver(flags, transferParts(client, request, { wait: flags.wait, signal: this.interrupted }))
  }
}
