import { Args } from '@oclif/core'
import { mutationFlags } from '../../src/terminal/flags.js'
import { MembershipCommand } from '../../src/terminal/membership-command.js'

export default class MemberDemote extends MembershipCommand {
  static override summary = 'Make voters learners: they keep the log and count for nothing.'
  static override description =
    'Refused when fewer voters than a quorum would be left reachable. When the leader is demoted, leadership is handed over first. A learner goes on receiving the log and answering reads, and is promoted again at any time.'
  static override examples = ['<%= config.bin %> member demote n3', '<%= config.bin %> member demote n4 n5 --dry-run']
  static override seeAlso = ['member promote', 'member remove', 'member list']
  static override strict = false
  static override args = { member: Args.string({ required: true, ignoreStdin: true, description: 'name or host:port, one or more' }) }
  static override flags = mutationFlags

  async run() {
    const { argv, flags } = await this.parse(MemberDemote)
    const connection = this.connection(flags)
    const { ClusterClient } = await import('../../src/admin/cluster-client.js')
    const { membershipParts } = await import('../../src/admin/membership-parts.js')
    using client = new ClusterClient(connection)
    const request = {
      ...{ command: this.commandName, add: [], remove: [], demote: argv as string[] },
      ...{ force: flags.force === true, reason: flags.reason ?? null, catchupTimeoutMs: connection.timeoutMs },
    }
    return await this.change(flags, membershipParts(client, request, { verify: flags.wait, signal: this.interrupted }))
  }
}
