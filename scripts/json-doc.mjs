// Writes docs/json.md from the schemas; with --check it fails when the page is stale.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const page = join(root, 'docs/json.md')

const rows = readdirSync(join(root, 'schemas'))
  .filter((file) => file.endsWith('.schema.json'))
  .sort()
  .map((file) => ({ file, schema: JSON.parse(readFileSync(join(root, 'schemas', file), 'utf8')) }))
  .map(({ file, schema }) => {
    const fields = fieldsOf(schema, schema)
    return `| \`${schema.title ?? file}\` | [${file.replace('.schema.json', '')}](../schemas/${file}) | ${fields.map((name) => `\`${name}\``).join(' ')} |`
  })

/** The fields of `data`, or of the document where it has none; of every shape that it may take. */
function fieldsOf(schema, part) {
  if (part.$ref) return fieldsOf(schema, schema.$defs[part.$ref.replace('#/$defs/', '')])
  const shapes = part.oneOf ?? part.anyOf
  if (shapes) return [...new Set(shapes.flatMap((shape) => fieldsOf(schema, shape)))]
  if (part.properties?.data) return fieldsOf(schema, part.properties.data)
  return Object.keys(part.properties ?? {})
}

const text = `# Documents for programs

With \`--json\` a command prints one document on stdout and nothing else; errors are documents too, with the same exit code as without
\`--json\`. \`--watch\` and \`-f\` print one document per line. This page is made from the schemas: \`node scripts/json-doc.mjs\`.

\`\`\`json
{ "schema": "raftctl.status/1", "ok": true, "exitCode": 0, "context": "dev", "clusterId": "7f3a…", "data": {}, "warnings": [] }
\`\`\`

- \`schema\` names the shape of \`data\` and its version; the file stands in \`schemas/\`.
- \`ok\` is true when the question was answered: exit 0, or 3 when the answer is no. Otherwise \`error\` holds \`code\`, \`message\`, \`hint\` and
  \`details\` ([errors](errors.md)), and \`data\` stands beside it whenever there are rows.
- Ids are strings. Indexes, terms and bytes are numbers. What is not known is \`null\`, never left out and never 0.
- \`--field leader\` prints one value bare; \`--field 'nodes[].id'\` one line each.

| command | schema | data |
|---|---|---|
${rows.join('\n')}
`
if (process.argv.includes('--check')) {
  if (readFileSync(page, 'utf8') !== text) {
    console.error('docs/json.md is stale: node scripts/json-doc.mjs')
    process.exit(1)
  }
} else writeFileSync(page, text)
