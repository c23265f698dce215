import { Args, Flags } from '@oclif/core'
import { ClusterCommand } from '../../src/terminal/cluster-command.js'
import { wholeNumberFlag } from '../../src/terminal/flags.js'

export default class KvGet extends ClusterCommand {
  static override summary = 'Print the value of a key, and nothing else.'
  static override description = 'The value goes to stdout byte for byte, with a newline only on a terminal; --meta goes to stderr.'
  static override schema = 'raftctl.kv.get/1'
  static override exitCodes = [4, 5, 7, 8]
  static override seeAlso = ['kv list', 'kv put']
  static override examples = [
    '<%= config.bin %> kv get hello',
    { description: "Any member's own state, also without a leader", command: '<%= config.bin %> kv get hello --read stale' },
    { description: 'As it was at a revision', command: '<%= config.bin %> kv get hello --rev 41' },
  ]
  static override args = { key: Args.string({ required: true, ignoreStdin: true, description: 'the key' }) }
  static override flags = {
    read: Flags.option({
      options: ['linearizable', 'lease', 'stale'] as const,
      default: 'linearizable',
      helpValue: 'linearizable|lease|stale',
    })({
      description:
        'linearizable sees every acknowledged write, and so does lease, by the clock of its leader (see `node start`); stale may be old',
    }),
    meta: Flags.boolean({ description: 'print revisions on stderr' }),
    hex: Flags.boolean({ description: 'print the value in hex' }),
    rev: wholeNumberFlag({ min: 1, description: 'the value at this revision' }),
  }

  async run() {
    const { args, flags } = await this.parse(KvGet)
    const connection = this.connection(flags)
    const { KeyValueAdmin } = await import('../../src/admin/key-value.js')
    using keyValue = new KeyValueAdmin(connection)
    const { data, bytes } = await keyValue.get(args.key, { read: flags.read, ...(flags.rev === undefined ? {} : { revision: flags.rev }) })
    return this.result(data, (out) => {
      if (flags.meta)
        out.note(`created ${data.createRevision} · modified ${data.modRevision} · version ${data.version} · cluster at ${data.revision}`)
      if (flags.hex) out.line(bytes.toString('hex'))
      else out.value(bytes)
    })
  }
}
