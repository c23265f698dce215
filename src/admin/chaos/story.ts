import type { ClusterEvent } from '../events.js'
import { msText } from './fault-text.js'

/** One line of what happened. */
export interface StoryLine {
  /** Since the run began. */
  readonly atMs: number
  /** fault, heal: what raftctl did. event: what a member told. */
  readonly kind: 'fault' | 'heal' | 'event'
  /** Whom it is about; null: the cluster. */
  readonly node: string | null
  readonly text: string
}

/** What the events of the members say to somebody who watches a fault; null for what tells them nothing. */
export function eventText(event: ClusterEvent, sinceFaultMs: number | null): string | null {
  const { node, name, fields } = event
  const after = sinceFaultMs === null || sinceFaultMs < 0 ? '' : ` after ${msText(sinceFaultMs)}`
  switch (name) {
    case 'election.won':
      return `${node} elected${after} (term ${fields.term})`
    case 'state.changed': {
      const led = fields.from === 'LEADER' || fields.from === 'TRANSFERRING'
      return led && fields.to === 'FOLLOWER' ? `${node} stepped down${after} (${reasonOf(fields.reason)})` : null
    }
    case 'node.error':
      return `${node} takes no part any more: ${(fields.status ?? '').replace(/ in \/\S+(?=:)/, '')}`
    case 'node.started':
      return `${node} runs again`
    case 'alarm.raised':
      return `${node} raised ${fields.alarm}${after}: it takes no entries`
    case 'alarm.cleared':
      return `${node} cleared ${fields.alarm}`
    case 'snapshot.installed':
      return `${node} installed a snapshot up to ${fields.index}`
    case 'leader.short':
      return `${node} leads on without taking writes (${fields.reason})`
    case 'leader.handover':
      return `${node} gives leadership away (${fields.reason})`
    default:
      return null
  }
}

function reasonOf(status: string | undefined): string {
  const text = (status ?? '').replace(/^E[A-Z]+(\(\d+\))?:? ?/, '').replace(/:\d+:\d+(?=\s|$)/g, '')
  return /quorum has not answered/.test(text) ? 'check-quorum' : text
}
