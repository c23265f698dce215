// Writes docs/api.md, the reference of all that the package exports, from the docstrings in what the compiler made of the sources.
//   node scripts/api-doc.mjs                   writes it; run it after a build
//   node scripts/api-doc.mjs --check           fails when the page is not what it would write, or a docstring is missing
//   node scripts/api-doc.mjs --check FILE…     looks for missing docstrings in these modules only
//
// Every export has a docstring, so has every public method and accessor of an exported class, and every member of type number whose
// name does not say its unit.
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import ts from 'typescript'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const PAGE = join(root, 'docs/api.md')
const check = process.argv.includes('--check')
const given = process.argv.slice(2).filter((word) => word !== '--check')
const ENTRIES = [
  { name: 'raftctl', file: 'dist/src/index.d.ts', about: 'The library: the engine, its storages, and what a process needs to run groups.' },
  { name: 'raftctl/testing', file: 'dist/src/testing/index.d.ts', about: 'The test kit: clusters in memory, in virtual time.' },
]
const KINDS = ['Classes', 'Functions', 'Values', 'Types']
const UNIT =
  /(Ms|Bytes|BytesMax|PerSecond|Count|Max|Min|Rate|Index|Term|Tasks|Requests|Errors|index|term|count|size|port|code|seq|seed|id)$/
const problems = []

const entries =
  given.length > 0
    ? given.map((file) => ({ name: file, file: resolve(file), about: '' }))
    : ENTRIES.map((entry) => ({ ...entry, file: join(root, entry.file) }))
for (const { file } of entries)
  if (!existsSync(file)) {
    console.error(`${file} is not there: run npm run build first`)
    process.exit(1)
  }
const program = ts.createProgram(
  entries.map(({ file }) => file),
  {
    module: ts.ModuleKind.NodeNext,
    moduleResolution: ts.ModuleResolutionKind.NodeNext,
    target: ts.ScriptTarget.ES2023,
    skipLibCheck: true,
    types: [],
  },
)
const checker = program.getTypeChecker()
const page = render()
for (const problem of problems) console.error(problem)
if (given.length === 0 && !check) writeFileSync(PAGE, page)
const stale = given.length === 0 && check && (!existsSync(PAGE) || readFileSync(PAGE, 'utf8') !== page)
if (stale) console.error('docs/api.md is not what the docstrings say: build, run node scripts/api-doc.mjs, and commit it')
process.exitCode = problems.length > 0 || stale ? 1 : 0

function render() {
  const parts = [
    '# API reference',
    '',
    'Made from the docstrings by `node scripts/api-doc.mjs`; change those, not this page. How the parts are used together is told in [library.md](library.md).',
    '',
  ]
  for (const entry of entries) {
    const exported = exportsOf(entry.file)
    parts.push(`## \`${entry.name}\``, '', entry.about, '')
    for (const kind of KINDS) {
      const symbols = exported.filter((each) => each.kind === kind)
      if (symbols.length > 0) parts.push(`${kind}: ${symbols.map(({ name }) => `[${name}](#${anchorOf(name)})`).join(' · ')}`, '')
    }
    for (const kind of KINDS) for (const each of exported.filter((one) => one.kind === kind)) parts.push(...section(each))
  }
  return `${parts.join('\n').trimEnd()}\n`
}

function anchorOf(name) {
  return name.toLowerCase()
}

/** What a module exports, in order of name. */
function exportsOf(file) {
  const source = program.getSourceFile(file)
  return checker
    .getExportsOfModule(checker.getSymbolAtLocation(source))
    .map((symbol) => {
      const actual = symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol
      return { name: symbol.name, symbol: actual, kind: kindOf(actual) }
    })
    .sort((a, b) => (a.name < b.name ? -1 : 1))
}

function kindOf(symbol) {
  if (symbol.flags & ts.SymbolFlags.Class) return 'Classes'
  if (symbol.flags & ts.SymbolFlags.Function) return 'Functions'
  if (symbol.flags & ts.SymbolFlags.Value) return 'Values'
  return 'Types'
}

function section({ name, symbol, kind }) {
  const declarations = symbol.declarations ?? []
  const docs = docsOf(symbol)
  if (docs === '') problems.push(`${name}: what is it? It is exported without a docstring`)
  const lines = [`### ${name}`, '']
  if (docs !== '') lines.push(...rendered(docs), '')
  const members = declarations.flatMap((each) => (ts.isClassDeclaration(each) || ts.isInterfaceDeclaration(each) ? [...each.members] : []))
  const rows = members.filter(isPublic).map((member) => rowOf(name, member, kind))
  const heads = declarations.filter((each) => rows.length === 0 || !(ts.isClassDeclaration(each) || ts.isInterfaceDeclaration(each)))
  const bases = declarations.flatMap((each) => each.heritageClauses?.map((clause) => clause.getText()) ?? [])
  if (bases.length > 0) lines.push(`\`${bases.join(' ')}\``, '')
  if (heads.length > 0) lines.push('```ts', ...heads.map(headOf), '```', '')
  if (rows.length > 0) lines.push('| member | |', '|---|---|', ...rows, '')
  return lines
}

function headOf(declaration) {
  const node = ts.isVariableDeclaration(declaration) ? declaration.parent.parent : declaration
  return withoutComments(node)
    .replace(/^export /, '')
    .replace(/^declare /, '')
}

function withoutComments(node) {
  return ts.createPrinter({ removeComments: true }).printNode(ts.EmitHint.Unspecified, node, node.getSourceFile())
}

function isPublic(member) {
  const flags = ts.getCombinedModifierFlags(member)
  if (flags & ts.ModifierFlags.Private) return false
  return !member.name || !ts.isPrivateIdentifier(member.name)
}

function rowOf(owner, member, kind) {
  const symbol = member.name ? checker.getSymbolAtLocation(member.name) : undefined
  const docs = docsOf(symbol, member)
  const name = member.name?.getText() ?? 'constructor'
  const isCode = ts.isMethodDeclaration(member) || ts.isGetAccessor(member)
  if (kind === 'Classes' && isCode && docs === '' && !isInherited(owner, member))
    problems.push(`${owner}.${name}: a public member without a docstring`)
  const isNumber = member.type?.kind === ts.SyntaxKind.NumberKeyword
  if (isNumber && docs === '' && !UNIT.test(name))
    problems.push(`${owner}.${name}: a number of what? Neither its name nor a docstring says the unit`)
  const text = withoutComments(member)
    .replace(/\s+/g, ' ')
    .replace(/;$/, '')
    .replace(/^(public |readonly |abstract |override )+/, '')
    .replaceAll('|', '\\|')
  return `| \`${text}\` | ${docs.replace(/\s*\n\s*/g, ' ').replaceAll('|', '\\|')} |`
}

/** What a base says of a member holds for the member as well. */
function isInherited(_owner, member) {
  const symbol = checker.getSymbolAtLocation(member.name)
  const declared = checker.getTypeAtLocation(member.parent)
  const bases = [
    ...(declared.getBaseTypes?.() ?? []),
    ...(member.parent.heritageClauses ?? []).flatMap((clause) => clause.types.map((type) => checker.getTypeAtLocation(type))),
  ]
  return bases.some((base) => {
    const same = base.getProperty(symbol.name)
    return same && docsOf(same) !== ''
  })
}

function docsOf(symbol, node) {
  const text = symbol ? ts.displayPartsToString(symbol.getDocumentationComment(checker)) : ''
  if (text !== '' || !node) return text.trim()
  return ts
    .getJSDocCommentsAndTags(node)
    .map((doc) => ts.getTextOfJSDocComment(doc.comment) ?? '')
    .join('\n')
    .trim()
}

/** Lines that are indented by four are code in a docstring. */
function rendered(docs) {
  const lines = []
  let inCode = false
  for (const line of docs.split('\n')) {
    const isCode = /^ {4}/.test(line)
    if (isCode !== inCode && (isCode || line.trim() !== '')) {
      lines.push(isCode ? '```ts' : '```')
      inCode = isCode
    }
    lines.push(isCode ? line.slice(4) : line)
  }
  if (inCode) lines.push('```')
  return lines
}
