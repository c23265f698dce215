import type { Hue, Style, SymbolName } from './colour.js'
import { paint, plain, symbol } from './colour.js'
import type { CliError } from './errors.js'
import * as format from './format.js'
import type { Column } from './table.js'
import { renderTable } from './table.js'
import { wrap } from './wrap.js'

export interface OutputOptions {
  readonly stdout: (text: string | Uint8Array) => void
  readonly stderr: (text: string) => void
  readonly style: Style
  readonly errorStyle: Style
  readonly quiet: boolean
  readonly verbose: boolean
  readonly columns?: readonly string[]
  readonly wide: boolean
  readonly noHeaders: boolean
}

/**
 * What a command prints with when a person reads: data on stdout, everything else on stderr.
 * In JSON mode no command gets one; the document is built from the result instead.
 */
export class Output {
  readonly count = format.count
  readonly bytes = format.bytes
  readonly duration = format.duration
  readonly many = format.many

  constructor(private readonly options: OutputOptions) {}

  get style(): Style {
    return this.options.style
  }

  /** All columns are wanted, however long the lines become. */
  get isWide(): boolean {
    return this.options.wide
  }

  /** One line of the answer. */
  line(text = ''): void {
    this.options.stdout(`${plain(this.options.style, text)}\n`)
  }

  /** Words of the answer: on a terminal lines are broken between them, never inside a command. */
  prose(text: string, hanging = 2): void {
    for (const line of proseLines(this.options.style, text, hanging)) this.options.stdout(`${line}\n`)
  }

  /** Bytes of the answer as they are; a terminal gets a line end after them. */
  value(bytes: Uint8Array): void {
    this.options.stdout(bytes)
    if (this.options.style.isTty) this.options.stdout('\n')
  }

  table<Row>(columns: readonly Column<Row>[], rows: readonly Row[]): void {
    const { style, wide, noHeaders, columns: chosen } = this.options
    const text = renderTable(columns, rows, { style, wide, noHeaders, ...(chosen ? { columns: chosen } : {}) })
    if (text !== '') this.line(text)
  }

  /** Something worth knowing that is not the answer. */
  note(text: string): void {
    if (this.options.quiet) return
    for (const line of proseLines(this.options.errorStyle, text, 2)) this.options.stderr(`${line}\n`)
  }

  /** What is being done, with --verbose. */
  detail(text: string): void {
    if (this.options.verbose) this.options.stderr(`${paint(this.options.errorStyle, 'dim', plain(this.options.errorStyle, text))}\n`)
  }

  warning(text: string): void {
    this.note(`${paint(this.options.errorStyle, 'yellow', '!')} ${text}`)
  }

  /** `✗ E_CODE  what happened`, then what to type next. */
  error(error: CliError): void {
    for (const line of errorLines(this.options.errorStyle, error, this.options.quiet)) this.options.stderr(`${line}\n`)
  }

  paint(hue: Hue, text: string): string {
    return paint(this.options.style, hue, text)
  }

  symbol(name: SymbolName): string {
    return symbol(this.options.style, name)
  }

  /** The same lines on stderr, where a question is asked about them; quiet says nothing of them. */
  onStderr(): Output {
    const { stderr, errorStyle, quiet } = this.options
    return new Output({ ...this.options, stdout: (text) => (quiet ? undefined : stderr(String(text))), style: errorStyle })
  }

  /** The same output into another place, for a frame that is drawn at once. */
  into(stdout: (text: string | Uint8Array) => void): Output {
    return new Output({ ...this.options, stdout })
  }
}

/** `✗ E_CODE  what happened`, then what to type next; only the first when `quiet`. */
export function errorLines(style: Style, error: CliError, quiet = false): string[] {
  const head = `${paint(style, 'red', symbol(style, 'failed'))} ${paint(style, 'bold', error.code)}  ${error.message}`
  const hint = quiet || error.hint === '' ? [] : error.hint.split('\n').map((line) => `  ${line}`)
  return [...proseLines(style, head, 2), ...hint.flatMap((line) => proseLines(style, line, 4))]
}

function proseLines(style: Style, text: string, hanging: number): string[] {
  const width = style.isTty ? style.width : Number.POSITIVE_INFINITY
  return plain(style, text)
    .split('\n')
    .flatMap((line) => wrap(line, { width, hanging }))
}
