import { Args, Flags } from '@oclif/core'
import { BaseCommand } from '../../src/terminal/base-command.js'
import { connectionOf } from '../../src/terminal/cluster-command.js'
import { CliError } from '../../src/terminal/errors.js'
import { connectionFlags, outputFlags } from '../../src/terminal/flags.js'

const {
  endpoint,
  group,
  engine,
  timeout,
  'connect-timeout': connectTimeout,
  tls,
  ca,
  cert,
  key,
  'server-name': serverName,
} = connectionFlags

export default class ContextAdd extends BaseCommand {
  static override summary = 'Name a cluster, and pin the name to it.'
  static override description =
    'Asks the endpoints which cluster they are; every command that uses the context then refuses any other. The first context is selected.'
  static override schema = 'raftctl.context.add/1'
  static override exitCodes = [5, 6, 8, 9]
  static override examples = [
    '<%= config.bin %> context add prod -e db1:7001,db2:7001,db3:7001 --env production',
    { description: 'Only to look at', command: '<%= config.bin %> context add audit -e db1:7001 --read-only --select' },
    { description: 'A C++ braft cluster', command: '<%= config.bin %> context add legacy -e 10.0.0.1:8100 --group Counter' },
    { description: 'A cluster that does not run yet', command: '<%= config.bin %> context add lab -e 10.0.0.1:7001 --no-pin-cluster-id' },
  ]
  static override args = { name: Args.string({ required: true, ignoreStdin: true, description: 'what to call it' }) }
  static override seeAlso = ['context test', 'context use', 'context list']
  static override baseFlags = {
    ...{ endpoint, group, engine, timeout, 'connect-timeout': connectTimeout, tls, ca, cert, key, 'server-name': serverName },
    ...outputFlags,
  }
  static override flags = {
    env: Flags.string({ helpValue: '<text>', description: 'what it is for; production makes confirmations stricter' }),
    'read-only': Flags.boolean({ description: 'refuse every command that changes something' }),
    'pin-cluster-id': Flags.boolean({ default: true, allowNo: true, description: 'ask the cluster for its id and expect it (default)' }),
    select: Flags.boolean({ description: 'make it the one that commands use' }),
    replace: Flags.boolean({ description: 'one of the same name may be there' }),
  }

  async run() {
    const { args, flags } = await this.parse(ContextAdd)
    if (flags.endpoint === undefined)
      throw new CliError('E_USAGE', 'where is it? --endpoint is missing', { hint: `raftctl context add ${args.name} -e HOST:PORT` })
    const connection = connectionOf({ ...flags, endpoint: flags.endpoint })
    const { addContext } = await import('../../src/local/context-add.js')
    const { ca, cert, key, serverName } = connection.tls ?? {}
    const files = Object.entries({ ca, cert, key, serverName }).filter(([, value]) => value != null)
    const input = {
      name: args.name,
      endpoints: connection.endpoints,
      env: flags.env ?? null,
      readOnly: flags['read-only'] === true,
      ...(connection.tls === null ? {} : { tls: true, ...(Object.fromEntries(files) as Record<string, string>) }),
    }
    const options = { pin: flags['pin-cluster-id'], select: flags.select === true, replace: flags.replace === true }
    const { added, warnings } = await addContext(input, connection, options)
    return this.result(
      added,
      (out) => {
        const pinned = added.clusterId === null ? 'not pinned' : `cluster ${added.clusterId} pinned`
        const what = added.engine === 'braft' || added.engine === 'mixed' ? `${added.engine}, group ${added.group}, ` : ''
        out.line(`${added.name} ${added.replaced ? 'replaced' : 'added'} (${what}${pinned})${added.selected ? ', selected' : ''}`)
        if (!added.selected) out.note(`use it: raftctl context use ${added.name}`)
      },
      { warnings, clusterId: added.clusterId },
    )
  }
}
