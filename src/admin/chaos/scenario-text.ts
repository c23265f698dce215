import type { LineCounter, Node, Scalar } from 'yaml'
import { CliError } from '../../terminal/errors.js'

/** A place in the file with what stands there. */
export interface Entry {
  /** Null: the field is there and empty. */
  readonly node: Node | null
  /** Where it begins, as an offset. */
  readonly offset: number
}

type Yaml = typeof import('yaml')

const UNIT_MS: Record<string, number> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 }
const UNIT_BYTES: Record<string, number> = { B: 1, KB: 1e3, MB: 1e6, GB: 1e9 }

/** The text of a scenario, read field by field: whatever is not understood is told by its line and column. */
export class ScenarioText {
  private constructor(
    private readonly yaml: Yaml,
    private readonly path: string,
    private readonly lines: LineCounter,
    readonly root: Entry,
  ) {}

  static async parse(text: string, path: string): Promise<ScenarioText> {
    const yaml = await import('yaml')
    const lines = new yaml.LineCounter()
    const document = yaml.parseDocument(text, { lineCounter: lines, prettyErrors: false })
    const source = new ScenarioText(yaml, path, lines, { node: document.contents as Node | null, offset: 0 })
    const [error] = document.errors
    if (error) throw source.brokenAt(error.pos[0], error.message, 'Mend the YAML.')
    return source
  }

  /** Which fields a map has; throws for one that is not `allowed`. */
  map(entry: Entry, allowed: readonly string[], what: string) {
    const { node } = entry
    if (!this.yaml.isMap(node)) throw this.broken(entry, `${what} is a map of fields`, `its fields: ${allowed.join(', ')}`)
    const fields = new Map<string, Entry>()
    for (const { key, value } of node.items) {
      const name = this.yaml.isScalar(key) ? String(key.value) : ''
      const offset = (key as Node).range?.[0] ?? entry.offset
      const at = { node: value as Node | null, offset: (value as Node | null)?.range?.[0] ?? offset }
      if (!allowed.includes(name))
        throw this.broken({ node: key as Node, offset }, `${what} has no field "${name}"`, `its fields: ${allowed.join(', ')}`)
      fields.set(name, at)
    }
    return {
      get: (name: string) => fields.get(name),
      entries: () => [...fields],
      required: (name: string) => {
        const found = fields.get(name)
        if (found) return found
        throw this.broken(entry, `${what} needs "${name}"`, `its fields: ${allowed.join(', ')}`)
      },
    }
  }

  has({ node }: Entry, field: string): boolean {
    return this.yaml.isMap(node) && node.has(field)
  }

  isList({ node }: Entry): boolean {
    return this.yaml.isSeq(node)
  }

  list(entry: Entry, what: string): Entry[] {
    const { node } = entry
    if (!this.yaml.isSeq(node)) throw this.broken(entry, `"${what}" is a list`, 'write it as [one, other], or one a line after "- "')
    return node.items.map((item) => ({ node: item as Node | null, offset: (item as Node | null)?.range?.[0] ?? entry.offset }))
  }

  text(entry: Entry, what: string): string {
    const value = this.scalar(entry)
    if (typeof value === 'string' && value !== '') return value
    throw this.broken(
      entry,
      `"${what}" is a word, not ${shown(value)}`,
      `write it in quotes if it is meant: ${what}: "${String(value ?? '')}"`,
    )
  }

  flag(entry: Entry, what: string): boolean {
    const value = this.scalar(entry)
    if (typeof value === 'boolean') return value
    throw this.broken(entry, `"${what}" is true or false, not ${shown(value)}`, `${what}: true`)
  }

  oneOf<T extends string>(entry: Entry, choices: readonly T[], what: string): T {
    const value = this.scalar(entry)
    const found = choices.find((choice) => choice === value)
    if (found !== undefined) return found
    throw this.broken(entry, `${shown(value)} is not ${what}`, `there are: ${choices.join(', ')}`)
  }

  number(entry: Entry, bounds: { readonly what: string; readonly least: number; readonly most: number; readonly whole?: boolean }): number {
    const { what, least, most, whole = false } = bounds
    const value = this.scalar(entry)
    if (typeof value === 'number' && value >= least && value <= most && (!whole || Number.isInteger(value))) return value
    throw this.broken(
      entry,
      `"${what}" is a ${whole ? 'whole ' : ''}number from ${least} to ${most}, not ${shown(value)}`,
      `${what}: ${Math.max(least, 1)}`,
    )
  }

  /** `500ms`, `5s`, `2m`; a bare number has no unit and is refused. */
  duration(entry: Entry, what: string, mostMs: number): number {
    const value = this.scalar(entry)
    const match = /^(\d+(?:\.\d+)?)(ms|s|m|h)$/.exec(String(value))
    const ms = Number(match?.[1]) * (UNIT_MS[match?.[2] ?? ''] ?? Number.NaN)
    if (ms <= mostMs) return ms
    const why = Number.isNaN(ms) ? `a duration, not ${shown(value)}` : 'at most an hour'
    throw this.broken(entry, `"${what}" is ${why}`, `write a number with its unit: ${what}: 5s`)
  }

  size(entry: Entry, what: string): number {
    const value = this.scalar(entry)
    const match = /^(\d+(?:\.\d+)?)(B|KB|MB|GB)$/i.exec(String(value))
    const bytes = value === 0 ? 0 : Math.floor(Number(match?.[1]) * (UNIT_BYTES[match?.[2]?.toUpperCase() ?? ''] ?? Number.NaN))
    if (Number.isSafeInteger(bytes)) return bytes
    throw this.broken(entry, `"${what}" is a size, not ${shown(value)}`, `write a number with its unit: ${what}: 16MB`)
  }

  broken(entry: Entry, problem: string, mend: string): CliError {
    return this.brokenAt(entry.node?.range?.[0] ?? entry.offset, problem, mend)
  }

  private brokenAt(offset: number, problem: string, mend: string): CliError {
    const { line, col } = this.lines.linePos(offset)
    const at = { line: Math.max(1, line), column: Math.max(1, col) }
    return new CliError('E_CONFIG', `${this.path}:${at.line}:${at.column}: ${problem}`, { hint: mend, details: { file: this.path, ...at } })
  }

  private scalar({ node }: Entry): unknown {
    return this.yaml.isScalar(node) ? (node as Scalar).value : undefined
  }
}

function shown(value: unknown): string {
  return value === undefined ? 'this' : value === null ? 'nothing' : JSON.stringify(value)
}
