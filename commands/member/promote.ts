import { Args } from '@oclif/core'
import { durationFlagOf, mutationFlags } from '../../src/terminal/flags.js'
import { MembershipCommand } from '../../src/terminal/membership-command.js'

export default class MemberPromote extends MembershipCommand {
  static override summary = 'Give learners a vote, once they hold the log.'
  static override description =
    'The leader waits until they are level, as long as --catchup-timeout says; nothing depends on them before. One that does not answer is refused, since it would be waited for in vain. A member that votes already is passed over.'
  static override examples = ['<%= config.bin %> member promote n4', '<%= config.bin %> member promote n4 n5 --dry-run']
  static override seeAlso = ['member demote', 'member add', 'member list']
  static override strict = false
  static override args = { member: Args.string({ required: true, ignoreStdin: true, description: 'name or host:port, one or more' }) }
  static override flags = {
    'catchup-timeout': durationFlagOf({ default: 600_000, description: 'for all of them to catch up (default 10m)' }),
    ...mutationFlags,
  }

  async run() {
    const { argv, flags } = await this.parse(MemberPromote)
    const connection = this.connection(flags)
    const { ClusterClient } = await import('../../src/admin/cluster-client.js')
    const { membershipParts } = await import('../../src/admin/membership-parts.js')
    using client = new ClusterClient(connection)
    const request = {
      ...{ command: this.commandName, add: [], remove: [], promote: argv as string[] },
      ...{ force: flags.force === true, reason: flags.reason ?? null, catchupTimeoutMs: flags['catchup-timeout'] },
    }
    return await this.change(flags, membershipParts(client, request, { verify: flags.wait, signal: this.interrupted }))
  }
}
