// Draws docs/session.svg: a real session, run now in a terminal of its own on a cluster of its own.
//   node scripts/session-picture.mjs
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { homedir, tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const columns = 118
const session = [
  'raftctl cluster start',
  'raftctl kv put greeting "hello, raft"',
  'raftctl status',
  'raftctl cluster kill LEADER',
  'raftctl kv get greeting',
  'raftctl status',
  'raftctl cluster start',
]

const home = mkdtempSync(join(tmpdir(), 'raftctl-picture-'))
const env = {
  ...process.env,
  HOME: home,
  XDG_DATA_HOME: '',
  XDG_CONFIG_HOME: '',
  XDG_STATE_HOME: '',
  FORCE_COLOR: '1',
  TERM: 'xterm-256color',
  LC_ALL: 'C.UTF-8',
  PATH: `${join(root, 'bin')}:${process.env.PATH}`,
  NODE: process.execPath,
}
const lines = []
try {
  for (const typed of session) {
    const command = typed.replace('LEADER', () => leader())
    const run = command.replace(/^raftctl/, `"$NODE" "${join(root, 'bin/run.js')}"`)
    // `script` gives the command a terminal, so that it prints what a person would see.
    const output = execFileSync('script', ['-qec', `stty cols ${columns} rows 50; ${run}`, '/dev/null'], { env, encoding: 'utf8' })
    lines.push(
      `\u001b[32m$\u001b[0m \u001b[1m${command}\u001b[0m`,
      ...output.replaceAll('\r', '').replaceAll(home, '~').trimEnd().split('\n'),
      '',
    )
  }
} finally {
  execFileSync(process.execPath, [join(root, 'bin/run.js'), 'cluster', 'rm', 'dev', '--yes'], { env, stdio: 'ignore' })
  rmSync(home, { recursive: true, force: true })
}
writeFileSync(join(root, 'docs/session.svg'), picture(lines.slice(0, -1)))
console.log(
  `docs/session.svg: ${lines.length} lines${lines.some((line) => line.includes(homedir())) ? ', and a path of this machine: look at it' : ''}`,
)

function leader() {
  return execFileSync(process.execPath, [join(root, 'bin/run.js'), 'status', '--field', 'leader'], { env, encoding: 'utf8' }).trim()
}

function picture(rows) {
  const [width, height] = [columns * 7.83 + 40, rows.length * 18 + 40]
  const text = rows.map((row, i) => `<text x="20" y="${34 + i * 18}" xml:space="preserve">${spans(row)}</text>`)
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" font-family="ui-monospace, SFMono-Regular, Menlo, Consolas, monospace" font-size="13" fill="#d6deeb">`,
    '<style>.dim{opacity:.6}.bold{font-weight:700}.c31{fill:#ff6b81}.c32{fill:#7ddc8c}.c33{fill:#f2cc60}.c34{fill:#6cb6ff}.c35{fill:#d2a8ff}.c36{fill:#76e3ea}</style>',
    `<rect width="100%" height="100%" rx="8" fill="#0d1620"/>`,
    ...text,
    '</svg>\n',
  ].join('\n')
}

function spans(row) {
  let classes = new Set()
  return (
    row
      // biome-ignore lint/suspicious/noControlCharactersInRegex: terminals speak in control characters
      .split(/(\u001b\[[\d;]*[A-Za-z])/)
      .map((part) => {
        // biome-ignore lint/suspicious/noControlCharactersInRegex: as above
        const code = /^\u001b\[([\d;]*)m$/.exec(part)
        if (code) classes = styled(classes, code[1])
        if (part === '' || part.startsWith('\u001b')) return ''
        const escaped = part.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
        return classes.size > 0 ? `<tspan class="${[...classes].join(' ')}">${escaped}</tspan>` : escaped
      })
      .join('')
  )
}

function styled(before, codes) {
  const classes = new Set(before)
  for (const code of codes.split(';').map(Number)) {
    if (code === 0) classes.clear()
    else if (code === 1) classes.add('bold')
    else if (code === 2) classes.add('dim')
    else if (code === 22) ['bold', 'dim'].forEach((name) => classes.delete(name))
    else if (code === 39) for (const name of [...classes]) name.startsWith('c') && classes.delete(name)
    else if (code >= 31 && code <= 36) classes.add(`c${code}`)
  }
  return classes
}
