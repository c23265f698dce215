import { Args, Flags } from '@oclif/core'
import { ClusterCommand } from '../../src/terminal/cluster-command.js'
import { wholeNumberFlag } from '../../src/terminal/flags.js'

export default class KvList extends ClusterCommand {
  static override summary = 'List keys in order, with their values.'
  static override schema = 'raftctl.kv.list/1'
  static override exitCodes = [4, 5, 7, 8]
  static override seeAlso = ['kv get']
  static override outputColumns = {
    KEY: 'control characters are escaped, bytes that are no text are base64:…',
    REV: 'revision that wrote it last',
    VER: 'how often it was written',
  }
  static override examples = [
    '<%= config.bin %> kv list users/',
    { description: 'The next page', command: '<%= config.bin %> kv list users/ --limit 100 --after users/41' },
    '<%= config.bin %> kv list --keys-only',
  ]
  static override args = { prefix: Args.string({ ignoreStdin: true, description: 'only keys that start with it' }) }
  static override flags = {
    limit: wholeNumberFlag({ min: 1, description: 'how many at most (default 100)' }),
    'keys-only': Flags.boolean({ description: 'no values' }),
    after: Flags.string({ helpValue: '<key>', description: 'only keys after this one' }),
    read: Flags.option({
      options: ['linearizable', 'lease', 'stale'] as const,
      default: 'linearizable',
      helpValue: 'linearizable|lease|stale',
    })({
      description:
        'linearizable sees every acknowledged write, and so does lease, by the clock of its leader (see `node start`); stale may be old',
    }),
  }

  async run() {
    const { args, flags } = await this.parse(KvList)
    const connection = this.connection(flags)
    const { DEFAULT_LIST_LIMIT, KeyValueAdmin, nextPage, shown } = await import('../../src/admin/key-value.js')
    using keyValue = new KeyValueAdmin(connection)
    const prefix = args.prefix ?? ''
    const { limit = DEFAULT_LIST_LIMIT, after, read, 'keys-only': keysOnly } = flags
    const query = { prefix, limit, keysOnly, read, ...(after === undefined ? {} : { after }) }
    const page = await keyValue.list(query)
    return this.result(page, (out) => {
      out.table(
        [
          { name: 'key', value: (row) => shown(row.key) },
          ...(keysOnly ? [] : [{ name: 'value', value: (row: (typeof page.items)[number]) => shown(row.value ?? '') }]),
          { name: 'rev', value: (row) => out.count(row.modRevision), align: 'right', priority: 1 },
          { name: 'ver', value: (row) => out.count(row.version), align: 'right', priority: 2 },
        ],
        page.items,
      )
      if (page.more) out.note(`${out.count(page.items.length)} of ${out.count(page.count)} keys; the next page:  ${nextPage(query, page)}`)
    })
  }
}
