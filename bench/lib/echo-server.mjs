// What a client could do at most here: answers every unary gRPC call at once with an empty message, frames written by hand.
//   node bench/lib/echo-server.mjs: prints the port it listens on
import { createServer } from 'node:net'

const PREFACE = 24
const FRAME = 9
// :status 200 and content-type, a message of no bytes, and grpc-status 0, all for stream 0.
const HEADERS = hex('00001401040000000088', '0f10', '106170706c69636174696f6e2f67727063')
const DATA = hex('000005000000000000', '0000000000')
const TRAILERS = hex('00000f010500000000', '00', '0b677270632d737461747573', '0130')
const ANSWER = Buffer.concat([HEADERS, DATA, TRAILERS])
const IDS = [5, HEADERS.length + 5, HEADERS.length + DATA.length + 5]
// A window for every stream that no message fills: its own is given back for the connection alone.
const SETTINGS = hex('000006040000000000', '00047fffffff')
const SETTINGS_ACK = hex('000000040100000000')

const server = createServer((socket) => {
  socket.setNoDelay(true)
  socket.on('error', () => socket.destroy())
  socket.write(SETTINGS)
  let unread = Buffer.alloc(0)
  let opened = false
  socket.on('data', (chunk) => {
    const bytes = unread.length === 0 ? chunk : Buffer.concat([unread, chunk])
    const answers = []
    let at = opened ? 0 : PREFACE
    opened = true
    let credit = 0
    while (bytes.length - at >= FRAME) {
      const length = bytes.readUIntBE(at, 3)
      if (bytes.length - at < FRAME + length) break
      const [type, flags] = [bytes[at + 3], bytes[at + 4]]
      if (type === 0) {
        credit += length
        if (flags & 1) answers.push(answerTo(bytes.readUInt32BE(at + 5)))
      } else if (type === 4 && !(flags & 1)) answers.push(SETTINGS_ACK)
      at += FRAME + length
    }
    unread = bytes.subarray(at)
    if (credit > 0) answers.push(windowUpdate(credit))
    if (answers.length > 0) socket.write(Buffer.concat(answers))
  })
})
server.listen(0, '127.0.0.1', () => console.log(server.address().port))

function answerTo(id) {
  const answer = Buffer.from(ANSWER)
  for (const at of IDS) answer.writeUInt32BE(id, at)
  return answer
}

function windowUpdate(more) {
  const bytes = hex('000004080000000000', '00000000')
  bytes.writeUInt32BE(more, FRAME)
  return bytes
}

function hex(...parts) {
  return Buffer.from(parts.join(''), 'hex')
}
