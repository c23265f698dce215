import { mutationFlags } from '../../src/terminal/flags.js'
import { MembershipCommand } from '../../src/terminal/membership-command.js'
import { lostOf, recoverFlags } from '../../src/terminal/recover-flags.js'

const { 'dry-run': dryRun, confirm, wait } = mutationFlags

export default class RecoverApply extends MembershipCommand {
  static override summary = 'Make those that are left of a group all its members, past every quorum.'
  static override description =
    'For a group whose majority is gone for good, and for nothing else: what only the lost members held is lost, acknowledged or not, and what those that are left hold becomes final. Refused while a majority answers. Asks for the name of the cluster. A plan that recover plan --plan-out wrote is executed by raftctl apply.'
  static override impact = 'unsafe' as const
  static override schema = 'raftctl.recover/1'
  static override examples = [
    '<%= config.bin %> recover apply --lost n2,n3',
    { description: 'In a script: the name of the context answers', command: '<%= config.bin %> recover apply --lost n2,n3 --confirm=prod' },
  ]
  static override seeAlso = ['recover plan', 'member add', 'status']
  static override flags = { ...recoverFlags, 'dry-run': dryRun, confirm, wait }

  async run() {
    const { flags } = await this.parse(RecoverApply)
    const connection = this.connection(flags)
    const { ClusterClient } = await import('../../src/admin/cluster-client.js')
    const { recoveryParts } = await import('../../src/admin/membership-parts.js')
    using client = new ClusterClient(connection)
    const request = { command: this.commandName, lost: lostOf(flags.lost), reason: flags.reason ?? null }
    const parts = recoveryParts(client, request, { verify: flags.wait, signal: this.interrupted })
    return await this.change(flags, parts)
  }
}
