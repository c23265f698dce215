/** Of RFC 9113 §7. */
export const ErrorCode = {
  NO_ERROR: 0x0,
  PROTOCOL_ERROR: 0x1,
  INTERNAL_ERROR: 0x2,
  FLOW_CONTROL_ERROR: 0x3,
  STREAM_CLOSED: 0x5,
  FRAME_SIZE_ERROR: 0x6,
  REFUSED_STREAM: 0x7,
  CANCEL: 0x8,
  COMPRESSION_ERROR: 0x9,
  ENHANCE_YOUR_CALM: 0xb,
} as const

export type ErrorCode = (typeof ErrorCode)[keyof typeof ErrorCode]

/** What the other side did that ends the whole connection. */
export class Http2Error extends Error {
  override name = 'Http2Error'

  constructor(
    readonly code: ErrorCode,
    message: string,
  ) {
    super(message)
  }
}
