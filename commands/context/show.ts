import { Args } from '@oclif/core'
import { BaseCommand } from '../../src/terminal/base-command.js'

export default class ContextShow extends BaseCommand {
  static override summary = 'Show one context: where it is and what it is pinned to.'
  static override schema = 'raftctl.context.show/1'
  static override exitCodes = [7]
  static override examples = ['<%= config.bin %> context show', '<%= config.bin %> context show prod --field endpoints[0]']
  static override args = { name: Args.string({ ignoreStdin: true, description: 'the selected one when left out' }) }
  static override seeAlso = ['context list', 'context use']

  async run() {
    const { args } = await this.parse(ContextShow)
    const { showContext } = await import('../../src/local/context-store.js')
    const shown = showContext(args.name)
    return this.result(shown, (out) => {
      out.table(
        [
          { name: 'field', value: ([name]) => name },
          { name: 'value', value: ([, value]) => value },
        ],
        Object.entries(shown).map(([name, value]): [string, string] => [name, value === null ? '-' : String(value)]),
      )
    })
  }
}
