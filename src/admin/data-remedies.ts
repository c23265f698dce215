import type { DataDirectory } from './data-directory.js'
import type { Finding } from './data-findings.js'

type DamageFacts = Omit<Finding, 'severity' | 'group' | 'command'>

/** Where findings are about, and what can be done there. */
export interface Report {
  readonly group: string | null
  readonly directory: DataDirectory
  damage(facts: DamageFacts): Finding
  warning(facts: DamageFacts & { readonly command?: string | null }): Finding
}

export function reportOn(directory: DataDirectory, group: string | null): Report {
  const report: Report = {
    group,
    directory,
    damage: (facts) => ({ ...facts, severity: 'damage', group, command: remedy.damage(report) }),
    warning: (facts) => ({ command: null, ...facts, severity: 'warning', group }),
  }
  return report
}

/** What to type. */
export const remedy = {
  /** The directory is moved aside, never mended: the other members send it everything again. */
  damage({ directory: { path, kind, holder } }: Report): string {
    const stop = holder ? `kill ${holder.pid} && ` : ''
    if (kind === 'braft')
      return `${stop}mv ${quoted(path)} ${quoted(`${path}.damaged`)}    (then start the member empty: its leader sends it a snapshot)`
    return `${stop}mv ${quoted(path)} ${quoted(`${path}.damaged`)} && raftctl node start --data ${quoted(path)} --rebuild …`
  },
  torn({ directory: { path, kind } }: Report): string {
    return kind === 'braft' ? 'start the node as usual' : `raftctl node start --data ${quoted(path)} …    (as usual)`
  },
}

export function quoted(path: string): string {
  return /^[\w@%+=:,./-]+$/.test(path) ? path : `'${path.replaceAll("'", "'\\''")}'`
}
