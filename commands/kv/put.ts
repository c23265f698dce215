import { Args, Flags } from '@oclif/core'
import { ClusterCommand } from '../../src/terminal/cluster-command.js'

export default class KvPut extends ClusterCommand {
  static override summary = 'Write a key; returns when a majority holds it durably.'
  static override schema = 'raftctl.kv.put/1'
  static override impact = 'data' as const
  static override exitCodes = [4, 5, 6, 7, 8, 13]
  static override seeAlso = ['kv get', 'kv cas']
  static override examples = [
    '<%= config.bin %> kv put hello world',
    { description: 'A value that begins with a dash', command: '<%= config.bin %> kv put -- offset -41' },
    { description: 'From stdin, or from a file', command: 'date | <%= config.bin %> kv put now -' },
    '<%= config.bin %> kv put config --file ./config.json',
  ]
  static override args = {
    key: Args.string({ required: true, ignoreStdin: true, description: 'the key' }),
    value: Args.string({ ignoreStdin: true, description: 'its value; - reads stdin' }),
  }
  static override flags = {
    'if-absent': Flags.boolean({ description: 'only if there is no such key; exit 8 otherwise' }),
    file: Flags.string({ helpValue: '<file>', description: 'read the value from a file' }),
    prev: Flags.boolean({ description: 'say what the value was' }),
  }

  async run() {
    const { args, flags } = await this.parse(KvPut)
    const connection = this.connection(flags)
    const { KeyValueAdmin, shown, valueBytes } = await import('../../src/admin/key-value.js')
    const value = await valueBytes({ argument: args.value, file: flags.file, stdin: process.stdin })
    using keyValue = new KeyValueAdmin(connection)
    const written = await (flags['if-absent'] ? keyValue.putIfAbsent(args.key, value) : keyValue.put(args.key, value))
    const { previous } = written
    return this.result(written, (out) => {
      out.line(`ok ${out.count(written.revision)}`)
      if (flags.prev) out.line(previous === null ? 'was absent' : `was ${shown(previous.value)}`)
    })
  }
}
