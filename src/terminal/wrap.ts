import { visibleWidth } from './colour.js'

export interface WrapOptions {
  /** Columns there are; infinite where nothing has to fit. */
  readonly width: number
  /** Columns by which what follows the first line is indented. */
  readonly hanging: number
}

/** Stands for a space that no line is broken at. */
const TIE = '\u00a0'

/** Keeps the words of `text` on one line. */
export function whole(text: string): string {
  return text.replaceAll(' ', TIE)
}

/** Parts of a line with dots between them; it is broken only there. */
export function dotted(parts: readonly (string | null)[]): string {
  return parts
    .filter((part) => part !== null)
    .map(whole)
    .join(' · ')
}

/**
 * Breaks a line that is too long between words. A command to be typed is never broken, so that it can be pasted: one that does not
 * fit begins a line of its own, and one longer than the terminal is left to it.
 */
export function wrap(text: string, { width, hanging }: WrapOptions): string[] {
  if (visibleWidth(text) <= width) return [untied(text)]
  const lines: string[] = []
  let line = /^ */.exec(text)![0]
  let empty = true
  for (const { gap, text: unit } of unitsOf(text.trimStart())) {
    const longer = empty ? `${line}${unit}` : `${line}${gap}${unit}`
    if (!empty && visibleWidth(longer) > width) {
      lines.push(line)
      line = `${' '.repeat(hanging)}${unit}`
    } else line = longer
    empty = false
  }
  return [...lines, line].map(untied)
}

function untied(text: string): string {
  return text.replaceAll(TIE, ' ')
}

interface Unit {
  /** The spaces before it. */
  readonly gap: string
  readonly text: string
}

/** What no line is broken in: a word, or a command with its arguments. */
function unitsOf(text: string): Unit[] {
  const units: Unit[] = []
  let inCommand = false
  for (const [, gap = '', word = ''] of text.matchAll(/( *)([^ ]+)/g)) {
    const last = units.at(-1)
    inCommand =
      inCommand && gap.length === 1 && last !== undefined && !/[,;:.)]$/.test(last.text) && !/^([·|→-]|->|or|and|\(.*)$/.test(word)
    if (inCommand && last) units[units.length - 1] = { gap: last.gap, text: `${last.text} ${word}` }
    else units.push({ gap, text: word })
    inCommand ||= word === 'raftctl'
  }
  return units
}
