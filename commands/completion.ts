import { Args } from '@oclif/core'
import { BaseCommand } from '../src/terminal/base-command.js'

export default class Completion extends BaseCommand {
  static override summary = 'Print the script that completes commands, flags and names in a shell.'
  static override description =
    'Completion asks no node: contexts, local clusters and error codes come from files, the members of a cluster elsewhere from what status or member list last saw.'
  static override schema = 'raftctl.completion/1'
  static override examples = [
    { description: 'In this shell, and in every later one', command: 'source <(<%= config.bin %> completion bash)' },
    `<%= config.bin %> completion zsh > "\${fpath[1]}/_raftctl"`,
    '<%= config.bin %> completion fish > ~/.config/fish/completions/raftctl.fish',
  ]
  static override args = {
    shell: Args.string({ required: true, ignoreStdin: true, options: ['bash', 'zsh', 'fish'], description: 'bash, zsh or fish' }),
  }
  static override seeAlso = ['explain']

  async run() {
    const { args } = await this.parse(Completion)
    const { completionScript, INSTALL } = await import('../src/terminal/completion-scripts.js')
    const shell = args.shell as keyof typeof INSTALL
    const script = completionScript(shell)
    return this.result({ shell, script }, (out) => {
      for (const line of script.trimEnd().split('\n')) out.line(line)
      if (out.style.isTty) out.note(`to keep it:  ${INSTALL[shell]}`)
    })
  }
}
