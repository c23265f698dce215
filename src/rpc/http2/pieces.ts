import type * as net from 'node:net'

/** Pieces of up to this size are copied together: one of its own costs more in a system call. */
export const COPIED_BYTES_MAX = 2 * 1024
/** Of many small ones, so much at most. */
const TOGETHER_BYTES_MAX = 16 * 1024

/** Gives a socket what is to leave in one system call. The bytes must not change any more: large ones are not copied. */
export function writeTogether(socket: net.Socket, pieces: readonly Uint8Array[], bytes: number): void {
  if (pieces.length === 1) return void socket.write(pieces[0]!)
  if (bytes <= Math.min(COPIED_BYTES_MAX * pieces.length, TOGETHER_BYTES_MAX)) return void socket.write(Buffer.concat(pieces, bytes))
  socket.cork()
  for (const piece of pieces) socket.write(piece)
  socket.uncork()
}
