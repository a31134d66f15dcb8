import { parseAst } from 'rolldown/parseAst'
import { moduleLookup } from '../bundle-modules.mjs'

/**
 * Returns the code of a bundle in which every function calls `$trace(name, file, work)` with its body as `work`.
 * @param {string} code
 */
export function instrument(code) {
  const fileAt = moduleLookup(code)
  const insertions = []
  for (const { node, name } of functionsIn(parseAst(code))) {
    const file = fileAt(node.start)
    if (file !== undefined && !node.generator) insertions.push(...wrap(node, name, file))
  }
  insertions.sort((a, b) => a.at - b.at || a.order - b.order)
  const parts = insertions.map(({ at, added }, index) => {
    return code.slice(insertions[index - 1]?.at ?? 0, at) + added
  })
  return parts.join('') + code.slice(insertions.at(-1)?.at ?? 0)
}

function wrap({ async: isAsync, body, start }, name, file) {
  const head = `$trace(${JSON.stringify(name)}, ${JSON.stringify(file)}, ${isAsync ? 'async ' : ''}() => `
  // At one place, the beginning of an empty function comes before its end, and that of an outer one before that of an inner.
  if (body.type === 'BlockStatement') {
    return [
      { at: body.start + 1, added: `return ${head}{`, order: start },
      { at: body.end - 1, added: '})', order: Number.MAX_SAFE_INTEGER - start },
    ]
  }
  return [
    { at: body.start, added: `${head}(`, order: start },
    { at: body.end, added: '))', order: Number.MAX_SAFE_INTEGER - start },
  ]
}

/** All functions below a node, with the names that a reader of the source would give them. */
function* functionsIn(node, owner = '', name = undefined) {
  if (Array.isArray(node)) {
    for (const each of node) yield* functionsIn(each, owner)
    return
  }
  if (typeof node?.type !== 'string') return
  if (/^(?:FunctionDeclaration|FunctionExpression|ArrowFunctionExpression)$/.test(node.type)) {
    const own = node.id?.name ?? name ?? `${owner || 'module'} →`
    yield { node, name: own }
    yield* functionsIn(node.params, own)
    yield* functionsIn(node.body, own)
    return
  }
  const named = namedValue(node)
  for (const [key, child] of Object.entries(node)) {
    if (typeof child !== 'object' || child === null) continue
    if (child !== named?.value) yield* functionsIn(child, ownerBelow(node, key, owner))
    else if (/^Class/.test(child.type)) yield* functionsIn(child, named.name)
    else yield* functionsIn(child, owner, prefixed(node, named.name, owner))
  }
}

/** What a node gives a name: a variable, a member of a class or a property. */
function namedValue({ type, id, init, key, value, kind }) {
  if (type === 'VariableDeclarator') return { name: id.name, value: init }
  if (type !== 'MethodDefinition' && type !== 'PropertyDefinition' && type !== 'Property')
    return undefined
  const accessor = kind === 'get' || kind === 'set' ? `${kind} ` : ''
  const mark = key.type === 'PrivateIdentifier' ? '#' : ''
  return { name: `${accessor}${mark}${key.name ?? key.value ?? '…'}`, value }
}

function prefixed({ type }, name, owner) {
  return type === 'MethodDefinition' || type === 'PropertyDefinition' ? `${owner}.${name}` : name
}

function ownerBelow({ type, id }, key, owner) {
  return /^Class/.test(type) && key === 'body' ? (id?.name ?? owner) : owner
}
