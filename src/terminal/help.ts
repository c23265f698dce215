import type { Command, Interfaces } from '@oclif/core'
import { CommandHelp, Help } from '@oclif/core'
import { commandError } from './command-not-found.js'
import { readSelection } from './context-files.js'
import type { ExitCode } from './exit-codes.js'
import { EXIT_CODES } from './exit-codes.js'
import type { Impact } from './flags.js'
import { asksForJson, writeError } from './startup-error.js'

/** The static properties of BaseCommand, as the manifest keeps them. */
interface RaftctlCommand {
  readonly impact?: Impact
  readonly schema?: string
  readonly exitCodes?: readonly number[]
  readonly outputColumns?: Readonly<Record<string, string>>
  readonly seeAlso?: readonly string[]
}

type Loadable = Command.Loadable & RaftctlCommand

const IMPACTS: Record<Impact, string> = {
  read: 'read-only: changes nothing in the cluster',
  leadership: 'changes who leads; writes pause for a moment',
  membership: 'changes who the members are',
  data: 'changes or removes data',
  unsafe: 'can lose data that was acknowledged',
}

const ALWAYS = [0, 1, 2]
const REFUSED_WHEN_READ_ONLY = 6
/** Groups of flags in this order, after the command's own. */
const GROUPS = ['CONNECTION', 'OUTPUT', 'SAFETY']

/** Help of one command: what it does, then how it is used by example, then the flags. */
class RaftctlCommandHelp extends CommandHelp {
  protected override sections() {
    const command = this.command as Loadable
    const byHeader = new Map(super.sections().map((section) => [section.header, section]))
    const standard = (header: string) => {
      const section = byHeader.get(header)
      return section ? [section] : []
    }
    const own = (header: string, body: string | undefined) => (body ? [{ header, generate: () => body }] : [])
    return [
      ...standard('USAGE'),
      ...standard('EXAMPLES'),
      ...standard('DESCRIPTION'),
      ...standard('ARGUMENTS'),
      ...standard('FLAGS'),
      ...own('OUTPUT COLUMNS', this.columnGlossary(command)),
      ...own('EXIT CODES', this.exitCodeList(command)),
      ...own('IMPACT', IMPACTS[command.impact ?? 'read']),
      ...own('SEE ALSO', command.seeAlso?.map((id) => `${this.config.bin} ${id}`).join('\n')),
      ...standard('ALIASES'),
    ]
  }

  /** What a flag does comes first, where else it is set from comes last. */
  protected override flags(flags: Command.Flag.Any[]): [string, string | undefined][] | undefined {
    if (flags.length === 0) return undefined
    return flags.map((flag) => [this.flagHelpLabel(flag), `${flag.summary ?? flag.description ?? ''}${flag.env ? ` [${flag.env}]` : ''}`])
  }

  /** oclif trims the list as a whole, and with it the indent of a first flag that has no short form. */
  override renderList(input: (string | undefined)[][], options: Parameters<CommandHelp['renderList']>[1]): string {
    const indent = /^\s*/.exec(input[0]?.[0] ?? '')?.[0] ?? ''
    return indent + super.renderList(input, options)
  }

  /** Mandatory parts only; `[flags]` stands for the rest. */
  protected override defaultUsage(): string {
    const args = Object.values(this.command.args ?? {}).filter((arg) => !arg.hidden)
    const words = args.map((arg) => (arg.required ? arg.name.toUpperCase() : `[${arg.name.toUpperCase()}]`))
    const flags = Object.entries(this.command.flags ?? {}).flatMap(([name, flag]) =>
      flag.required && flag.type === 'option' ? [`--${name}=${flag.helpValue}`] : [],
    )
    return [this.command.id, ...words, ...flags, '[flags]'].join(' ')
  }

  /** The summary stands above already. */
  protected override description(): string | undefined {
    return this.command.description ? this.wrap(this.command.description) : undefined
  }

  protected override groupFlags(flags: Command.Flag.Any[]) {
    const { mainFlags, flagGroups } = super.groupFlags(flags)
    const names = [...GROUPS, ...Object.keys(flagGroups).filter((name) => !GROUPS.includes(name))]
    return { mainFlags, flagGroups: Object.fromEntries(names.flatMap((name) => (flagGroups[name] ? [[name, flagGroups[name]]] : []))) }
  }

  protected override flagHelpLabel(flag: Command.Flag.Any, showOptions = false): string {
    return flag.helpLabel ?? super.flagHelpLabel(flag, showOptions)
  }

  private exitCodeList(command: RaftctlCommand): string {
    const rows = exitCodesOf(command).map((code) => [String(code).padStart(3), EXIT_CODES[code as ExitCode]])
    return this.renderList(rows, { indentation: 2, stripAnsi: true })
  }

  private columnGlossary(command: Loadable): string | undefined {
    const entries = Object.entries(command.outputColumns ?? {})
    if (entries.length === 0) return undefined
    return this.renderList(
      entries.map(([name, meaning]) => [name, meaning]),
      { indentation: 2, stripAnsi: true },
    )
  }
}

function exitCodesOf(command: RaftctlCommand): number[] {
  const readOnly = (command.impact ?? 'read') === 'read' ? [] : [REFUSED_WHEN_READ_ONLY]
  return [...new Set([...ALWAYS, ...readOnly, ...(command.exitCodes ?? [])])].sort((a, b) => a - b)
}

/** The help of raftctl: named by `helpClass` in package.json. */
export default class RaftctlHelp extends Help {
  protected override CommandHelpClass = RaftctlCommandHelp

  constructor(config: Interfaces.Config, options: Partial<Interfaces.HelpOptions> = {}) {
    super(config, { flagSortOrder: 'none', ...options })
  }

  override async showHelp(argv: string[]): Promise<void> {
    const words = argv.filter((word) => !word.startsWith('-'))
    const id = this.idOf(words)
    if (words.length > 0 && id === null) return this.refuse(words)
    if (words.length === 0 && process.argv.length <= 2 && process.stdout.isTTY === true) return this.showFirstRun()
    if (asksForJson(argv) && id !== null) {
      const command = this.config.findCommand(id)
      if (command) return this.showJson(command as Loadable)
    }
    if (asksForJson(argv)) return this.showIndex(id)
    await super.showHelp(argv.filter((word) => word !== '--json'))
  }

  /** The command or topic that the words begin with; null when they name neither. */
  private idOf(words: readonly string[]): string | null {
    const parts = words.flatMap((word) => word.split(':'))
    for (let length = parts.length; length > 0; length--) {
      const id = parts.slice(0, length).join(':')
      if (this.config.findCommand(id)) return id
      if (this.config.findTopic(id)) return length === parts.length ? id : null
    }
    return null
  }

  private refuse(words: readonly string[]): void {
    const error = commandError(words.join(':'), this.config)
    writeError(error, process.argv.slice(2))
    process.exitCode = error.exitCode
  }

  private showJson(command: Loadable): void {
    const flags = Object.entries(command.flags ?? {}).filter(([, flag]) => !flag.hidden)
    this.print('raftctl.help/1', {
      command: command.id.replaceAll(':', ' '),
      summary: command.summary ?? '',
      impact: command.impact ?? 'read',
      schema: command.schema ?? null,
      exitCodes: exitCodesOf(command),
      args: Object.entries(command.args ?? {}).map(([name, arg]) => ({
        name,
        required: arg.required === true,
        description: arg.description ?? '',
      })),
      flags: flags.map(([name, flag]) => ({
        name,
        char: flag.char ?? null,
        group: flag.helpGroup ?? null,
        takesValue: flag.type === 'option',
        env: flag.env ?? null,
        description: flag.summary ?? flag.description ?? '',
      })),
    })
  }

  /** Every command, or those of a topic. */
  private showIndex(topic: string | null): void {
    const within = (id: string) => topic === null || id.startsWith(`${topic}:`)
    const commands = this.config.commands.filter(({ id, hidden }) => !hidden && within(id)) as Loadable[]
    const rows = commands.map((command) => ({
      command: command.id.replaceAll(':', ' '),
      summary: command.summary ?? '',
      impact: command.impact ?? 'read',
      schema: command.schema ?? null,
    }))
    const topics = this.config.topics.filter(({ name, hidden }) => !hidden && within(name))
    this.print('raftctl.help-index/1', {
      topic: topic?.replaceAll(':', ' ') ?? null,
      topics: topics.map(({ name, description }) => ({ name: name.replaceAll(':', ' '), description: description ?? '' })),
      commands: rows.sort((a, b) => (a.command < b.command ? -1 : 1)),
    })
  }

  private print(schema: string, data: object): void {
    this.log(JSON.stringify({ schema, ok: true, exitCode: 0, context: null, clusterId: null, data, warnings: [] }, null, 2))
  }

  /** `raftctl` alone on a terminal. */
  private showFirstRun(): void {
    const { bin } = this.config
    const { current } = readSelection()
    this.log(
      [
        `${bin} ${this.config.version}: run, watch, change and verify Raft clusters`,
        `context  ${current ?? 'none yet'}`,
        '',
        `  ${bin} cluster start           three nodes on this machine`,
        `  ${bin} status                  who leads, who is behind, who is down`,
        `  ${bin} kv put hello world      write a key through Raft`,
        '',
        `  ${bin} --help                  every command`,
      ].join('\n'),
    )
  }
}
