import { mutationFlags } from '../../src/terminal/flags.js'
import { MembershipCommand } from '../../src/terminal/membership-command.js'
import { lostOf, recoverFlags } from '../../src/terminal/recover-flags.js'

export default class RecoverPlan extends MembershipCommand {
  static override summary = 'Show what can be saved of a group whose majority is gone for good.'
  static override description =
    'Changes nothing. Says who is left, what each of them holds, what becomes final and what may be lost, and whether it may be done: while a majority answers it may not, and a change of members does it without loss. Prefer to start the lost members again: as long as their disks exist, nothing is lost.'
  static override impact = 'read' as const
  static override schema = 'raftctl.recover/1'
  static override exitCodes = [5, 6, 7, 8]
  static override examples = [
    '<%= config.bin %> recover plan',
    { description: 'Planned by one, executed by another', command: '<%= config.bin %> recover plan --lost n2,n3 --plan-out recover.json' },
  ]
  static override seeAlso = ['recover apply', 'apply', 'member replace', 'status']
  static override flags = { ...recoverFlags, 'plan-out': mutationFlags['plan-out'] }

  async run() {
    const { flags } = await this.parse(RecoverPlan)
    const connection = this.connection(flags)
    const { ClusterClient } = await import('../../src/admin/cluster-client.js')
    const { recoveryParts } = await import('../../src/admin/membership-parts.js')
    using client = new ClusterClient(connection)
    const request = { command: this.commandName, lost: lostOf(flags.lost), reason: flags.reason ?? null }
    const parts = recoveryParts(client, request, { verify: true, signal: this.interrupted })
    return await this.change({ ...flags, 'dry-run': flags['plan-out'] === undefined, wait: true }, parts)
  }
}
