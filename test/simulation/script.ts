import { type Decision, formatDecision, parseDecision } from './decisions.js'
import type { World } from './swarm-plan.js'

/** Some run in full: what it took place in, and what was decided in it. */
export interface Script {
  readonly world: World
  readonly decisions: readonly Decision[]
}

/**
 * A script as text, a line each: comments (`# …`), the world (`cluster.size = 3`) and the decisions in their order
 * (`1240.5 kill n2 forMs=300`). parseScript reads it back.
 */
export function formatScript({ world, decisions }: Script, comments: readonly string[] = []): string {
  const lines = [...comments.map((comment) => `# ${comment}`), ...formatWorld(world), '', ...decisions.map(formatDecision)]
  return `${lines.join('\n')}\n`
}

/** Throws on a line that is none. */
export function parseScript(text: string): Script {
  const world: Record<string, unknown> = {}
  const decisions: Decision[] = []
  for (const line of text.split('\n')) {
    if (line.trim() === '' || line.startsWith('#')) continue
    const assignment = /^([A-Za-z.]+) = (.+)$/.exec(line)
    if (assignment) assign(world, assignment[1]!.split('.'), JSON.parse(assignment[2]!))
    else decisions.push(parseDecision(line))
  }
  return { world: world as unknown as World, decisions }
}

function formatWorld(value: object, path = ''): string[] {
  return Object.entries(value).flatMap(([name, item]) =>
    typeof item === 'object' && item !== null ? formatWorld(item, `${path}${name}.`) : [`${path}${name} = ${JSON.stringify(item)}`],
  )
}

function assign(target: Record<string, unknown>, path: readonly string[], value: unknown): void {
  const [name, ...rest] = path
  if (rest.length === 0) target[name!] = value
  else assign((target[name!] ??= {}) as Record<string, unknown>, rest, value)
}
