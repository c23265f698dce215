import { Args } from '@oclif/core'
import { BaseCommand } from '../src/terminal/base-command.js'
import { wholeNumberFlag } from '../src/terminal/flags.js'

export default class Explain extends BaseCommand {
  static override summary = 'Say what an error code, an exit code or a word of Raft means, and what to do.'
  static override description = 'Concepts: quorum, term, commit, joint consensus, read index, rebuilding, snapshot, learner.'
  static override schema = 'raftctl.explain/1'
  static override exitCodes = [7]
  static override strict = false
  static override examples = [
    '<%= config.bin %> explain E_NO_QUORUM',
    '<%= config.bin %> explain joint consensus',
    { description: 'How many failures do five voters survive?', command: '<%= config.bin %> explain quorum --voters 5' },
    { description: 'Which errors end with exit code 6?', command: '<%= config.bin %> explain 6' },
  ]
  static override args = {
    topic: Args.string({ required: true, ignoreStdin: true, description: 'a code or a concept; several words are one' }),
  }
  static override flags = { voters: wholeNumberFlag({ min: 1, description: 'with quorum: what that many voters mean' }) }
  static override seeAlso = ['status']

  async run() {
    const { argv, flags } = await this.parse(Explain)
    const { explain } = await import('../src/terminal/explanations.js')
    const { printExplanation } = await import('../src/terminal/explanation-view.js')
    const found = explain(argv.join(' '), { voters: flags.voters ?? null })
    return this.result(found, (out) => printExplanation(out, found))
  }
}
