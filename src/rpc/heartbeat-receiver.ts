import type { Executor } from '../raft/environment.js'
import { ErrorCode, Status } from '../raft/errors.js'
import type { Answer, AppendEntriesResponse } from '../raft/messages.js'
import { type Beat, type BeatAck, decodeBeats, encodeBeatAcks } from './heartbeat-codec.js'
import type { AppendReceiver, FrameReply } from './peer-service.js'

/** An append stream that heartbeats may be for. */
export interface BeatTarget {
  /** False: it takes none this way, and gives no answer. */
  beat(beat: Beat, answer: Answer<AppendEntriesResponse>): boolean
}

export interface HeartbeatReceiverOptions {
  readonly executor: Executor
  /** The append streams that the same process opened, by number. */
  readonly streams: () => ReadonlyMap<number, BeatTarget> | undefined
  /** This side ends the stream. */
  readonly end: (status: Status) => void
  readonly gone: () => void
}

/**
 * The receiving end of a stream of heartbeats of many groups: each is handled as if it had come on its own stream.
 *
 * A frame is answered by one list, as soon as every node had its turn. What a node answers later (its disk is slow, say) is not in
 * it, so that no group waits for another; the sender asks that one again by itself.
 */
export class HeartbeatReceiver implements AppendReceiver {
  private over = false

  constructor(private readonly options: HeartbeatReceiverOptions) {}

  frame(bytes: Buffer, reply: FrameReply): void {
    const frame = decodeBeats(bytes)
    if (!frame) {
      reply.drop()
      return this.end(Status.error(ErrorCode.EREQUEST, 'not a frame of heartbeats'))
    }
    const { executor, streams } = this.options
    const acks: BeatAck[] = []
    let isOpen = true
    executor.post(() => {
      const targets = streams()
      for (const [position, beat] of frame.beats.entries()) {
        targets?.get(beat.stream)?.beat(beat, (status, response) => {
          if (isOpen) acks.push(response ? { position, status, response } : { position, status })
        })
      }
      // Behind what the nodes posted for themselves.
      executor.post(() => {
        isOpen = false
        if (this.over) reply.drop()
        else reply.acknowledge(encodeBeatAcks(frame.seq, acks))
      }, 'heartbeats answered')
    }, 'heartbeats')
  }

  closed(): void {
    if (this.over) return
    this.over = true
    this.options.gone()
  }

  end(status: Status): void {
    if (this.over) return
    this.closed()
    this.options.end(status)
  }
}
