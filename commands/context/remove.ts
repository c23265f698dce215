import { Args } from '@oclif/core'
import { BaseCommand } from '../../src/terminal/base-command.js'

export default class ContextRemove extends BaseCommand {
  static override summary = 'Forget a context; the cluster itself is not touched.'
  static override schema = 'raftctl.context.remove/1'
  static override exitCodes = [6, 7]
  static override examples = ['<%= config.bin %> context remove staging']
  static override args = { name: Args.string({ required: true, ignoreStdin: true, description: 'which one' }) }
  static override seeAlso = ['context list', 'context add', 'cluster rm']

  async run() {
    const { args } = await this.parse(ContextRemove)
    const { forgetNamedContext } = await import('../../src/local/context-store.js')
    const { current } = forgetNamedContext(args.name)
    return this.result({ name: args.name, current }, (out) => {
      out.line(`${args.name} removed`)
      out.note(current === null ? 'no context is selected: raftctl context list' : `selected: ${current}`)
    })
  }
}
