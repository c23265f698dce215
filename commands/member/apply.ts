import { Flags } from '@oclif/core'
import { durationFlagOf, mutationFlags } from '../../src/terminal/flags.js'
import { MembershipCommand } from '../../src/terminal/membership-command.js'

export default class MemberApply extends MembershipCommand {
  static override summary = 'Make the members what a file says, in one step.'
  static override description =
    'The file names every member and its address, as YAML or JSON: `members:`, then a line `  n1: 10.0.0.1:7001` for each. What is missing is added, what the file does not name stays unless --prune is given. All of it is one change, by joint consensus. A dry run answers 3 when there is something to do.'
  static override exitCodes = [3, 4, 5, 6, 7, 8, 12, 13, 124]
  static override examples = [
    {
      description: 'Whether the members are what the file says',
      command: '<%= config.bin %> member apply -f members.yaml --prune --dry-run',
    },
    '<%= config.bin %> member apply -f members.yaml --prune',
  ]
  static override seeAlso = ['member list', 'member add', 'member remove', 'apply']
  static override flags = {
    file: Flags.string({ char: 'f', required: true, helpValue: '<file>', description: 'who the members shall be' }),
    prune: Flags.boolean({ description: 'remove the members that the file does not name' }),
    'catchup-timeout': durationFlagOf({ default: 600_000, description: 'for new members to run and to catch up (default 10m)' }),
    ...mutationFlags,
  }

  async run() {
    const { flags } = await this.parse(MemberApply)
    const connection = this.connection(flags)
    const { ClusterClient } = await import('../../src/admin/cluster-client.js')
    const { readMembersFile } = await import('../../src/admin/members-file.js')
    const { declaredParts } = await import('../../src/admin/membership-parts.js')
    const wanted = readMembersFile(flags.file)
    using client = new ClusterClient(connection)
    const request = {
      ...{ command: this.commandName, wanted, prune: flags.prune === true, force: flags.force === true, reason: flags.reason ?? null },
      catchupTimeoutMs: flags['catchup-timeout'],
    }
    const parts = declaredParts(client, request, { verify: flags.wait, signal: this.interrupted })
    return await this.change(flags, { ...parts, driftExitCode: 3 })
  }
}
