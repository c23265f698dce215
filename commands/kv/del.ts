import { Args, Flags } from '@oclif/core'
import { ClusterCommand } from '../../src/terminal/cluster-command.js'
import { confirmationFlags } from '../../src/terminal/flags.js'

export default class KvDel extends ClusterCommand {
  static override summary = 'Delete a key, or every key that starts with a prefix.'
  static override description = 'With --prefix the keys are counted first and you are asked; an empty prefix is every key.'
  static override schema = 'raftctl.kv.del/1'
  static override impact = 'data' as const
  static override exitCodes = [4, 5, 6, 7, 8, 12, 13]
  static override seeAlso = ['kv list']
  static override examples = [
    '<%= config.bin %> kv del hello',
    '<%= config.bin %> kv del users/ --prefix',
    '<%= config.bin %> kv del users/ --prefix --yes',
  ]
  static override args = { key: Args.string({ required: true, ignoreStdin: true, description: 'the key, or the prefix' }) }
  static override flags = {
    prefix: Flags.boolean({ description: 'every key that starts with it' }),
    ...confirmationFlags,
  }

  async run() {
    const { args, flags } = await this.parse(KvDel)
    const connection = this.connection(flags)
    const { KeyValueAdmin, deletionQuestion } = await import('../../src/admin/key-value.js')
    using keyValue = new KeyValueAdmin(connection)
    if (flags.prefix && !flags.yes) {
      const count = await keyValue.countPrefix(args.key)
      if (count > 0) await this.confirmed({ message: deletionQuestion(args.key, count, connection), flag: '--yes' })
    }
    const done = await (flags.prefix ? keyValue.deletePrefix(args.key) : keyValue.delete(args.key))
    return this.result(done, (out) => out.line(`deleted ${out.count(done.deleted)}`))
  }
}
