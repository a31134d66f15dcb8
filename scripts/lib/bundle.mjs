import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { root } from './run.mjs'

const packages = join(root, 'packages')

/** A module of a package that its other entry points import from the main one, so that its classes exist once. */
const importedFromIndex = { core: 'src/errors.ts' }

/** Their entry points are complete in themselves, because every further file takes half a millisecond to import. */
const packagesOfCompleteEntries = ['core', 'bridges']

/** Its commands are imported when they run, each with what it needs. */
const packagesOfLazyModules = ['cli']

/**
 * Bundles the modules of each changed package into one file per entry point and module format; applications and tests
 * use these files. Importing core from two dozen files takes 11 ms longer. The compiler checks the types
 * and writes the declarations, before or after.
 */
export async function bundle(names = readdirSync(packages)) {
  const stale = names.filter(isStale)
  if (stale.length === 0) return
  // Imported only here, so that a script starts quickly if nothing has changed.
  const { build } = await import('rolldown')
  for (const name of stale) {
    for (const format of formatsOf(name)) {
      for (const options of bundleOptions(name, format)) await build(options)
    }
  }
}

function bundleOptions(name, format) {
  const entries = entryPoints(name)
  if (!packagesOfCompleteEntries.includes(name)) return [optionsFor(name, format, entries)]
  return entries.map((entry) => ({
    ...optionsFor(name, format, [entry]),
    plugins:
      entry === 'index' || importedFromIndex[name] === undefined
        ? []
        : [importFromIndex(join(packages, name, importedFromIndex[name]), extensions[format])],
  }))
}

const oneSharedFile = { groups: [{ name: 'shared', minShareCount: 2 }] }

const extensions = { esm: 'js', cjs: 'cjs' }

function optionsFor(name, format, entries) {
  const extension = extensions[format]
  return {
    input: Object.fromEntries(
      entries.map((entry) => [entry, join(packages, name, `src/${entry}.ts`)]),
    ),
    platform: 'node',
    // Every import that is not a file of the package itself.
    external: /^[^./]/,
    output: {
      dir: join(packages, name, 'dist'),
      format,
      exports: 'named',
      entryFileNames: `[name].${extension}`,
      chunkFileNames: `shared.${extension}`,
      // One file for all that several entry points use.
      ...(!packagesOfLazyModules.includes(name) && { codeSplitting: oneSharedFile }),
      sourcemap: true,
      // They are in the declarations and the source. Without them core is a third shorter, and parsed 0.3 ms faster.
      comments: { jsdoc: false },
      // Jest cannot import from CommonJS.
      ...(format === 'cjs' && { dynamicImportInCjs: false }),
      plugins: [withoutSources, requiresInPlace, oneByteText],
    },
    logLevel: 'warn',
  }
}

/** The published packages contain the sources, so the source maps only refer to them. */
const withoutSources = {
  name: 'without-sources',
  generateBundle(_options, files) {
    for (const file of Object.values(files)) {
      if (!file.fileName.endsWith('.map')) continue
      const { sourcesContent: _, ...map } = JSON.parse(file.source)
      file.source = JSON.stringify(map)
    }
  },
}

const deferredRequire =
  /await Promise\.resolve\(\)\.then\(\(\) => (\/\* @__PURE__ \*\/ __toESM\(require\("[^"]+"\)(?:, 1)?\))\)/g

/** Bundlers recognise an optional package by a `require` within `try`, but not in a function within that. */
const requiresInPlace = {
  name: 'requires-in-place',
  generateBundle(_options, files) {
    for (const file of Object.values(files)) {
      // Of the same length, so that the source map stays correct.
      file.code &&= file.code.replace(deferredRequire, (text, call) => call.padEnd(text.length))
    }
  },
}

/** One character beyond Latin-1, and V8 keeps the whole text of a module with two bytes per character. */
const oneByteText = {
  name: 'one-byte-text',
  generateBundle(_options, files) {
    for (const file of Object.values(files)) file.code &&= file.code.replace(/[^\0-\xff]/g, escaped)
  },
}

function escaped(character) {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`
}

/** Imports what `file` exports from the main entry point. */
function importFromIndex(file, extension) {
  return {
    name: 'import-from-index',
    resolveId(source, importer) {
      if (importer === undefined || resolve(dirname(importer), source) !== file) return null
      return { id: `./index.${extension}`, external: true }
    },
  }
}

/**
 * Copies the declarations that the compiler has written for `require`: to the compiler, `.d.ts` files of these packages
 * describe ES modules, which a CommonJS file cannot `require` before Node 22.
 */
export function writeCommonJsDeclarations(names = readdirSync(packages)) {
  for (const name of names.filter((each) => formatsOf(each).includes('cjs'))) {
    const dist = join(packages, name, 'dist')
    for (const file of readdirSync(dist, { recursive: true })) {
      if (file.endsWith('.d.ts')) writeCommonJsDeclaration(join(dist, file))
    }
  }
}

function writeCommonJsDeclaration(file) {
  const copy = file.replace(/\.d\.ts$/, '.d.cts')
  if (modifiedAt(copy) > modifiedAt(file)) return
  const text = readFileSync(file, 'utf8')
    .replace(/((?:from |import\()'\.[^']*)\.[jt]s'/g, "$1.cjs'")
    .replace(/\n\/\/# sourceMappingURL=.*\n?$/, '\n')
  writeFileSync(copy, text)
}

/** Published packages can be imported and required. */
function formatsOf(name) {
  return manifestOf(name).private ? ['esm'] : ['esm', 'cjs']
}

/** The modules that the package exports: `index`, and for core also `driver`, `internal` and `tools`. */
function entryPoints(name) {
  return Object.values(manifestOf(name).exports).flatMap((target) => {
    const file = target.import?.default ?? target.default ?? ''
    return /^\.\/dist\/(.+)\.js$/.exec(file)?.[1] ?? []
  })
}

function manifestOf(name) {
  return JSON.parse(readFileSync(join(packages, name, 'package.json'), 'utf8'))
}

function isStale(name) {
  const src = join(packages, name, 'src')
  const sources = readdirSync(src, { recursive: true }).map((file) => join(src, file))
  const newest = Math.max(...sources.map(modifiedAt))
  const built = entryPoints(name).map((entry) => join(packages, name, `dist/${entry}.js`))
  return Math.min(...built.map(modifiedAt)) <= newest
}

function modifiedAt(file) {
  return statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? 0
}
