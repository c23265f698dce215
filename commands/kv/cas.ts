import { Args, Flags } from '@oclif/core'
import { ClusterCommand } from '../../src/terminal/cluster-command.js'
import { wholeNumberFlag } from '../../src/terminal/flags.js'

export default class KvCas extends ClusterCommand {
  static override summary = 'Write a key only if it is what you expect.'
  static override description =
    'Expect a value (--from), a revision (--rev) or that there is none (--absent). A conflict exits 8 and says what the key is.'
  static override schema = 'raftctl.kv.cas/1'
  static override impact = 'data' as const
  static override exitCodes = [4, 5, 6, 7, 8, 13]
  static override seeAlso = ['kv get', 'kv put']
  static override examples = [
    '<%= config.bin %> kv cas counter --from 41 --to 42',
    { description: 'If nobody wrote it since', command: '<%= config.bin %> kv cas counter --rev 1284512 --to 42' },
    '<%= config.bin %> kv cas lock --absent --to me',
  ]
  static override args = { key: Args.string({ required: true, ignoreStdin: true, description: 'the key' }) }
  static override flags = {
    from: Flags.string({ helpValue: '<value>', exactlyOne: ['from', 'rev', 'absent'], description: 'expect this value' }),
    rev: wholeNumberFlag({ min: 1, description: 'expect this revision of its last write' }),
    absent: Flags.boolean({ description: 'expect that it does not exist' }),
    to: Flags.string({ required: true, helpValue: '<value>', description: 'the new value' }),
  }

  async run() {
    const { args, flags } = await this.parse(KvCas)
    const connection = this.connection(flags)
    const { KeyValueAdmin, shown } = await import('../../src/admin/key-value.js')
    using keyValue = new KeyValueAdmin(connection)
    const { from, rev } = flags
    const expected = from !== undefined ? { from } : rev !== undefined ? { revision: rev } : { absent: true as const }
    const swapped = await keyValue.swap(args.key, expected, Buffer.from(flags.to))
    return this.result(swapped, (out) =>
      out.line(
        `swapped ${from === undefined ? '' : `${shown(Buffer.from(from))}`}→${shown(swapped.value)}  ${out.count(swapped.revision)}`,
      ),
    )
  }
}
