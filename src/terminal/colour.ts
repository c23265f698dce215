/** How a stream may be written to: colour, symbols, width. Found out once per process from the environment and the flags. */
export interface Style {
  readonly colour: boolean
  /** Symbols beyond ASCII are allowed. */
  readonly unicode: boolean
  readonly isTty: boolean
  readonly width: number
}

export type Hue = 'red' | 'green' | 'yellow' | 'cyan' | 'dim' | 'bold'

const SGR: Record<Hue, readonly [number, number]> = {
  red: [31, 39],
  green: [32, 39],
  yellow: [33, 39],
  cyan: [36, 39],
  dim: [2, 22],
  bold: [1, 22],
}

/** State is never told by colour alone: each symbol has a shape, and an ASCII twin for other locales. */
const SYMBOLS = {
  ok: ['✓', 'ok'],
  failed: ['✗', 'x'],
  warning: ['▲', '!'],
  healthy: ['●', '*'],
  dot: ['·', '-'],
  arrow: ['→', '->'],
  back: ['←', '<-'],
  ellipsis: ['…', '...'],
} as const

export type SymbolName = keyof typeof SYMBOLS

export interface StyleOptions {
  readonly noColor?: boolean
  readonly env?: NodeJS.ProcessEnv
}

interface Terminal {
  readonly isTTY?: boolean
  readonly columns?: number
}

/** NO_COLOR and --no-color beat FORCE_COLOR, which beats what the terminal says; TERM=dumb has no colour. */
export function styleOf(stream: Terminal, options: StyleOptions = {}): Style {
  const env = options.env ?? process.env
  const isTty = stream.isTTY === true
  const columns = Number(env.COLUMNS)
  return {
    colour: wantsColour(isTty, options.noColor === true, env),
    unicode: isUtf8(env),
    isTty,
    width: stream.columns ?? (Number.isInteger(columns) && columns > 0 ? columns : 80),
  }
}

function wantsColour(isTty: boolean, noColor: boolean, env: NodeJS.ProcessEnv): boolean {
  if (noColor || (env.NO_COLOR !== undefined && env.NO_COLOR !== '')) return false
  if (env.FORCE_COLOR !== undefined) return env.FORCE_COLOR !== '0' && env.FORCE_COLOR !== 'false'
  return isTty && env.TERM !== 'dumb'
}

function isUtf8(env: NodeJS.ProcessEnv): boolean {
  const locale = env.LC_ALL || env.LC_CTYPE || env.LANG || ''
  return /utf-?8/i.test(locale)
}

export function paint(style: Style, hue: Hue, text: string): string {
  if (!style.colour || text === '') return text
  const [open, close] = SGR[hue]
  return `\u001b[${open}m${text}\u001b[${close}m`
}

export function symbol(style: Style, name: SymbolName): string {
  return SYMBOLS[name][style.unicode ? 0 : 1]
}

/** Replaces the symbols of `text` by their ASCII twins where the locale asks for it. */
export function plain(style: Style, text: string): string {
  if (style.unicode) return text
  return text.replace(/[✓✗▲●·→←…]/g, (found) => Object.values(SYMBOLS).find(([unicode]) => unicode === found)?.[1] ?? found)
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: an escape sequence begins with ESC
const ESCAPES = /\u001b\[[0-9;]*m/g

/** How many columns `text` takes; colour takes none. */
export function visibleWidth(text: string): number {
  return [...text.replace(ESCAPES, '')].length
}
