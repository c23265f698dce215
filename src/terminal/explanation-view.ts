import type { Explanation } from './explanations.js'
import type { Output } from './output.js'

const WIDTH_MAX = 100

export function printExplanation(out: Output, found: Explanation): void {
  const width = Math.min(out.style.width, WIDTH_MAX)
  const exit = found.kind === 'error' ? `  (exit ${found.exitCode})` : ''
  const label = found.kind === 'exit-code' ? `exit code ${found.name}` : found.name
  out.line(`${out.paint('bold', label)}${exit}`)
  const paragraph = (text: string) => {
    for (const line of wrapped(text, width - 2)) out.line(`  ${line}`)
  }
  paragraph(found.summary)
  if (found.quorum) paragraph(quorumText(found.quorum))
  for (const text of found.text) {
    out.line()
    paragraph(text)
  }
  if (found.act) {
    out.line()
    out.line('what to do')
    paragraph(found.act)
  }
  if (found.codes.length > 0) {
    out.line()
    out.line('codes')
    for (const code of found.codes) out.line(`  ${code}`)
  }
  if (found.see.length > 0) {
    out.line()
    out.line(`see  ${found.see.map((command) => `raftctl ${command}`).join(`  ${out.symbol('dot')}  `)}`)
  }
}

function quorumText({ voters, quorum, tolerates }: NonNullable<Explanation['quorum']>): string {
  const failures = tolerates === 0 ? 'no failure' : tolerates === 1 ? '1 failure' : `${tolerates} failures`
  const even = voters % 2 === 0 ? `, as ${voters - 1} would: an odd number is better` : ''
  return `${voters} ${voters === 1 ? 'voter' : 'voters'}: quorum ${quorum}, tolerates ${failures}${even}.`
}

function wrapped(text: string, width: number): string[] {
  const lines: string[] = []
  let line = ''
  for (const word of text.split(' ')) {
    if (line !== '' && line.length + 1 + word.length > width) {
      lines.push(line)
      line = word
    } else line = line === '' ? word : `${line} ${word}`
  }
  return line === '' ? lines : [...lines, line]
}
