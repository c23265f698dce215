import type { Hue } from './colour.js'
import type { Output } from './output.js'

/** An event as far as it is printed. */
export interface EventPicture {
  readonly timeMs: number
  readonly node: string
  readonly name: string
  readonly fields: Readonly<Record<string, string>>
}

const GRAVE = /^(node\.(error|removed|rebuild-needed)|alarm\.raised|snapshot\.failed)$/
const NOTABLE = /^(election\.won|leader\.|node\.|configuration\.|snapshot\.|member\.)/
/** As wide as the names of nodes are, mostly. */
const NODE_WIDTH = 3
const NAME_WIDTH = 23

/** `14:02:11.431  n2   election.won          term=9 votes=2/3 after=187ms` */
export function printEvent(out: Output, event: EventPicture): void {
  const time = new Date(event.timeMs).toISOString().slice(11, 23)
  const hue: Hue | null = GRAVE.test(event.name) ? 'red' : NOTABLE.test(event.name) ? 'bold' : null
  const name = event.name.padEnd(NAME_WIDTH)
  out.line(
    `${time}  ${event.node.padEnd(NODE_WIDTH)}  ${hue === null ? name : out.paint(hue, name)}  ${fieldsText(event.fields)}`.trimEnd(),
  )
}

/** `afterMs=187` reads `after=187ms`; votes of voters read `2/3`. */
export function fieldsText(fields: Readonly<Record<string, string>>): string {
  const { votes, voters, ...rest } = fields
  const all = votes !== undefined && voters !== undefined ? { ...rest, votes: `${votes}/${voters}` } : fields
  const texts = Object.entries(all).map(([name, value]) => {
    const ms = /^(.+)Ms$/.exec(name)
    const written = ms && value !== 'null' ? `${value}ms` : value
    return `${ms ? ms[1] : name}=${/\s/.test(written) ? JSON.stringify(written) : written}`
  })
  return texts.join(' ')
}
