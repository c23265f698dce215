// Compiles proto/*.proto into static modules and their types, one module per family so that a command loads only what it
// needs. Skips a module whose sources did not change.
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { cpSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const out = join(root, 'src/generated')
const modules = {
  braft: ['raft', 'enum', 'errno', 'cli', 'file_service', 'builtin_service', 'local_file_meta', 'local_storage', 'rpc_meta', 'counter'],
  atomic: ['atomic'],
  block: ['block'],
  raftctl: ['peer', 'control'],
  kv: ['mvcc', 'kv', 'kv_command', 'kv_pipeline'],
}
const bin = (name) => join(root, 'node_modules/protobufjs-cli/bin', name)

mkdirSync(out, { recursive: true })
for (const [name, files] of Object.entries(modules)) {
  const sources = files.map((f) => join(root, 'proto', `${f}.proto`)).filter((f) => existsSync(f))
  if (sources.length === 0) continue
  const hash = createHash('sha256')
  for (const file of [...sources, fileURLToPath(import.meta.url)]) hash.update(readFileSync(file))
  const stamp = `// ${hash.digest('hex')}\n`
  const js = join(out, `${name}.js`)
  if (existsSync(js) && readFileSync(js, 'utf8').startsWith(stamp)) continue
  const pbjs = (file, ...options) =>
    execFileSync(process.execPath, [
      bin('pbjs'),
      '-t',
      'static-module',
      '-w',
      'esm',
      '--null-semantics',
      '--keep-case',
      '--no-service',
      '--no-verify',
      '--no-delimited',
      '--no-convert',
      ...options,
      '-r',
      name,
      '-p',
      join(root, 'proto'),
      '-o',
      file,
      ...sources,
    ])
  pbjs(js)
  execFileSync(process.execPath, [bin('pbts'), '-o', join(out, `${name}.d.ts`), js])
  pbjs(js, '--no-comments')
  writeFileSync(js, stamp + readFileSync(js, 'utf8'))
}
mkdirSync(join(root, 'dist/src/generated'), { recursive: true })
cpSync(out, join(root, 'dist/src/generated'), { recursive: true, filter: (f) => !f.endsWith('.ts') })
