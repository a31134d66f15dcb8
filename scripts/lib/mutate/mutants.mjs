import { parseAst } from 'rolldown/parseAst'
import { moduleLookup } from '../bundle-modules.mjs'

/**
 * A change of a bundle that should make a test fail.
 * @typedef {{ id: number, file: string, module: [start: number, end: number], start: number, end: number, from: string, to: string, operator: string }} Mutant
 */

/**
 * All mutants of the modules of a bundle below a folder.
 * @param {string} code
 * @param {string} folder for example `packages/core/src/locks`
 * @returns {Mutant[]}
 */
export function mutantsOf(code, folder) {
  const fileAt = moduleLookup(code)
  const mutants = []
  const texts = new Set()
  for (const node of nodesIn(parseAst(code))) {
    const file = fileAt(node.start) ?? ''
    if (file !== `${folder}.ts` && !file.startsWith(`${folder}/`)) continue
    for (const [operator, start, end, to] of changesOf(node, code)) {
      const from = code.slice(start, end)
      const text = `${start} ${end} ${to}`
      if (from === to || texts.has(text)) continue
      texts.add(text)
      const [id, module] = [mutants.length, moduleAround(code, start)]
      mutants.push({ id, file, module, start, end, from, to, operator })
    }
  }
  return mutants
}

/** Where the module begins and ends that contains a position. */
function moduleAround(code, position) {
  const end = code.indexOf('\n// packages/', position)
  return [code.lastIndexOf('\n// packages/', position), end === -1 ? code.length : end]
}

/** The conditions of statements, which are replaced as a whole: tests that notice both do notice their opposite. */
const conditions = new WeakSet()
/** The values of objects of which only the names are read: all are `true`. */
const ofNames = new WeakSet()

function* nodesIn(node) {
  if (Array.isArray(node)) for (const each of node) yield* nodesIn(each)
  else if (typeof node?.type === 'string') {
    if (node.type === 'IfStatement' || node.type === 'ConditionalExpression')
      conditions.add(node.test)
    if (node.type === 'ObjectExpression') {
      const values = node.properties.map(({ value }) => value)
      if (values.length > 1 && values.every((value) => value?.value === true))
        for (const value of values) ofNames.add(value)
    }
    yield node
    for (const child of Object.values(node)) if (typeof child === 'object') yield* nodesIn(child)
  }
}

const swapped = {
  '===': '!==',
  '!==': '===',
  '<': '<=',
  '<=': '<',
  '>': '>=',
  '>=': '>',
  '-': '+',
  '*': '/',
  '/': '*',
  '&&': '||',
  '||': '&&',
}
const isOpposite = (operator, node) => /^[!=]==$/.test(operator) && conditions.has(node)
const weaker = new Map([
  ['compareAndSet', 'set'],
  ['add', 'set'],
  ['min', 'max'],
  ['max', 'min'],
  ['some', 'every'],
  ['every', 'some'],
])

/** The changes of one node: an operator, where, and what replaces the text there. */
function* changesOf(node, code) {
  const text = ({ start, end }) => code.slice(start, end)
  const replace = (operator, { start, end }, to) => [operator, start, end, to]
  if (node.type === 'BinaryExpression' || node.type === 'LogicalExpression') {
    const { operator, left, right } = node
    const [a, b] = [text(left), text(right)]
    if (swapped[operator] && !isOpposite(operator, node))
      yield replace(operator, node, `${a} ${swapped[operator]} ${b}`)
    if (operator === '===') yield replace('equal', node, 'true')
    if (operator === '??') yield replace('??', node, a)
    if (operator === '+' && ![left, right].some(isText)) {
      yield replace('addend', node, a)
      yield replace('addend', node, b)
    }
  }
  if (node.type === 'UnaryExpression' && node.operator === '!' && !conditions.has(node))
    yield replace('!', node, text(node.argument))
  if (node.type === 'AwaitExpression') yield replace('await', node, `(${text(node.argument)})`)
  if (node.type === 'IfStatement' || node.type === 'ConditionalExpression') {
    yield replace('condition', node.test, 'true')
    yield replace('condition', node.test, 'false')
  }
  if (node.type === 'Literal' && typeof node.value === 'boolean' && !ofNames.has(node))
    yield replace('boolean', node, String(!node.value))
  if (node.type === 'Identifier' && /^strongRead(\$\d+)?$/.test(node.name))
    yield replace('strong', node, 'void 0')
  if (node.type === 'CallExpression') yield* changedCalls(node, text)
  if (Array.isArray(node.body)) yield* changedStatements(node.body, text)
}

function* changedCalls({ start, end, callee, arguments: args }, text) {
  const name = callee.property?.name
  const other = weaker.get(name)
  if (callee.type !== 'MemberExpression' || other === undefined) return
  // The second argument is the expected value, which a write does not have.
  const list = args.filter((_, index) => name !== 'compareAndSet' || index !== 1).map(text)
  yield [`${name} → ${other}`, start, end, `${text(callee.object)}.${other}(${list.join(', ')})`]
}

/** Statements without a value are left out, and exchanged with the next one. */
function* changedStatements(statements, text) {
  const isPlain = (statement) => statement?.type === 'ExpressionStatement' && !isSuper(statement)
  for (const [index, statement] of statements.entries()) {
    if (!isPlain(statement)) continue
    const { start, end } = statement
    yield ['statement', start, end, ';']
    const next = statements[index + 1]
    // Within a turn of the event loop, hardly anything sees the order.
    if (isPlain(next) && [statement, next].some(hasAwait))
      yield ['order', start, next.end, `${text(next)} ${text(statement)}`]
  }
}

function hasAwait(node) {
  if (node === null || typeof node !== 'object') return false
  if (/Function/.test(node.type)) return false
  return node.type === 'AwaitExpression' || Object.values(node).some(hasAwait)
}

function isSuper({ expression }) {
  return expression.type === 'CallExpression' && expression.callee.type === 'Super'
}

function isText({ type, value }) {
  return type === 'TemplateLiteral' || typeof value === 'string'
}
