import { Flags } from '@oclif/core'
import { handOverFlags } from '../../src/terminal/flags.js'
import { HandOverCommand } from '../../src/terminal/hand-over-command.js'

export default class LeaderStepDown extends HandOverCommand {
  static override summary = 'Have the leader hand over to the best other voter.'
  static override description =
    'As leader transfer, with the successor left to raftctl: the longest log, and between equals the nearest to the leader. Keep one out of it with --exclude, before its machine is worked on for instance.'
  static override seeAlso = ['leader transfer', 'leader show']
  static override examples = [
    '<%= config.bin %> leader step-down',
    '<%= config.bin %> leader step-down --exclude n3',
    { description: 'Only look', command: '<%= config.bin %> leader step-down --dry-run' },
  ]
  static override flags = {
    exclude: Flags.string({ helpValue: '<member>', description: 'who must not lead next: name, address or PeerId' }),
    ...handOverFlags,
  }

  async run() {
    const { flags } = await this.parse(LeaderStepDown)
    const connection = this.connection(flags)
    const { ClusterClient } = await import('../../src/admin/cluster-client.js')
    const { transferParts } = await import('../../src/admin/transfer-parts.js')
    using client = new ClusterClient(connection)
    const request = { command: this.commandName, target: null, exclude: flags.exclude ?? null, reason: flags.reason ?? null }
    return await this.handOver(flags, transferParts(client, request, { wait: flags.wait, signal: this.interrupted }))
  }
}
