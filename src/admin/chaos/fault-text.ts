import type { ChaosFault } from './fault.js'

/** `partition {n1}|{n2,n3}`, `delay n2 by 200 ms ± 50 ms`. */
export function faultText(fault: ChaosFault): string {
  switch (fault.kind) {
    case 'kill':
    case 'pause':
      return `${fault.kind} ${fault.node}`
    case 'partition':
      return `partition ${fault.groups.map((group) => `{${group.join(',')}}`).join(fault.oneWay ? ' ↛ ' : '|')}`
    case 'delay':
      return `delay ${fault.node} by ${msText(fault.delayMs)}${fault.jitterMs > 0 ? ` ± ${msText(fault.jitterMs)}` : ''}`
    case 'drop':
      return `drop ${fault.percent} % of what ${fault.node ?? 'everybody'} sends`
    case 'skew':
      return `skew ${fault.node}${fault.aheadMs > 0 ? ` ${msText(fault.aheadMs)} ahead` : ''}${fault.rate === 1 ? '' : `, ${fault.rate} times as fast`}`
    case 'disk-full':
      return `disk of ${fault.node} full but for ${sizeText(fault.freeBytes)}`
    case 'slow-disk':
      return `disk of ${fault.node} slower by ${msText(fault.delayMs)}${fault.jitterMs > 0 ? ` ± ${msText(fault.jitterMs)}` : ''}`
  }
}

/** `241 ms`, `1.5 s`, `30 s`. */
export function msText(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)} ms`
  const seconds = Math.round(ms / 100) / 10
  return `${seconds} s`
}

/** `0 B`, `16 MB`. */
export function sizeText(bytes: number): string {
  for (const [unit, size] of [
    ['GB', 1e9],
    ['MB', 1e6],
    ['KB', 1e3],
  ] as const)
    if (bytes >= size) return `${Math.round((bytes / size) * 10) / 10} ${unit}`
  return `${bytes} B`
}
