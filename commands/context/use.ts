import { Args } from '@oclif/core'
import { BaseCommand } from '../../src/terminal/base-command.js'

export default class ContextUse extends BaseCommand {
  static override summary = 'Select the context that commands use.'
  static override schema = 'raftctl.context.use/1'
  static override exitCodes = [7]
  static override examples = [
    '<%= config.bin %> context use prod',
    { description: 'Go back to the one before', command: '<%= config.bin %> context use -' },
  ]
  static override args = { name: Args.string({ required: true, ignoreStdin: true, description: 'its name; - is the one before' }) }
  static override seeAlso = ['context list']

  async run() {
    const { args } = await this.parse(ContextUse)
    const { useContext } = await import('../../src/local/context-store.js')
    const { context, previous } = useContext(args.name)
    return this.result({ current: context.name, previous, endpoints: context.endpoints }, (out) =>
      out.line(
        `context ${context.name} selected${previous && previous !== context.name ? ` (was: ${previous})` : ''}  ${context.endpoints.join(',')}`,
      ),
    )
  }
}
