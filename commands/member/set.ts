import { Args, Flags } from '@oclif/core'
import { durationFlagOf, mutationFlags } from '../../src/terminal/flags.js'
import { MembershipCommand } from '../../src/terminal/membership-command.js'

export default class MemberSet extends MembershipCommand {
  static override summary = 'Change the address of a member; it keeps its directory.'
  static override description =
    'For a machine or a pod that came back at another address. Its process is started there upon the directory it had, with --moved, and waits; this command then looks whether it is that member, lets it catch up, and puts the new address in the place of the old one by joint consensus. A process that is not started yet is waited for, and nothing changes before it answers. Broken off, or with a new leader in between, the same command goes on from there; done already, it changes nothing. Members that are known by a host name need none of this: names are looked up at every attempt to connect.'
  static override examples = [
    '<%= config.bin %> member set n3 --address 10.0.0.9:7003',
    {
      description: 'On the machine of n3, before or after',
      command: '<%= config.bin %> node start --name n3 --listen 10.0.0.9:7003 --data ./n3 --moved',
    },
  ]
  static override seeAlso = ['member replace', 'member list', 'node start']
  static override args = { member: Args.string({ required: true, ignoreStdin: true, description: 'name, or host:port where it was' }) }
  static override flags = {
    address: Flags.string({ required: true, helpValue: '<host:port>', description: 'where it is from now on' }),
    'catchup-timeout': durationFlagOf({ default: 600_000, description: 'for it to run there and to catch up (default 10m)' }),
    ...mutationFlags,
  }

  async run() {
    const { args, flags } = await this.parse(MemberSet)
    const connection = this.connection(flags)
    const { ClusterClient } = await import('../../src/admin/cluster-client.js')
    const { addressParts } = await import('../../src/admin/membership-parts.js')
    using client = new ClusterClient(connection)
    const request = {
      ...{ command: this.commandName, member: args.member, address: flags.address },
      ...{ force: flags.force === true, reason: flags.reason ?? null, catchupTimeoutMs: flags['catchup-timeout'] },
    }
    return await this.change(flags, addressParts(client, request, { verify: flags.wait, signal: this.interrupted }))
  }
}
