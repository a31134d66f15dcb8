import { type Cache, CacheError } from '@stowage/core'
import { Context, type SourceOptions } from '../configuration/context.ts'
import { CommandError, UsageError } from '../errors.ts'
import type { Output } from '../output/io.ts'
import { confirmed, type ShowProgress, withProgress } from '../output/prompts.ts'

export interface ClearOptions extends SourceOptions {
  readonly json?: boolean
  readonly yes?: boolean
  readonly store?: string
  readonly prefix?: string
  readonly tag?: readonly string[]
}

interface Job {
  readonly action: string
  /** Resolves to the number of deleted entries; `null` if that is not known. */
  readonly run: (show: ShowProgress) => Promise<number | null>
}

const pageSize = 500

/** Returns the exit code: 1 if the question was denied. */
export async function clear(options: ClearOptions, output: Output): Promise<number> {
  const { store, prefix, tag, json = false, yes = false } = options
  if (store === undefined && prefix === undefined && tag === undefined) {
    throw new UsageError('Say what to clear: --prefix, --tag or --store.')
  }
  if (prefix !== undefined && tag !== undefined) {
    throw new UsageError('--prefix and --tag cannot be combined.')
  }
  const context = await Context.read(options, output)
  try {
    context.assertValid()
    const cache = context.sharedCache(store)
    const job = jobOf(cache, options)
    if (!(await confirmed(output, job.action, yes))) return cancelled(output)
    const deleted = await withProgress(output, json, 'Clearing', job.run)
    report(cache, options, deleted, output)
    return 0
  } finally {
    await context.close()
  }
}

function cancelled(output: Output): number {
  output.error('Nothing was changed.')
  return 1
}

function jobOf(cache: Cache, { prefix, tag }: ClearOptions): Job {
  const place = `${cache.name} (${cache.driver})`
  if (tag !== undefined) {
    return {
      action: `Invalidate ${tag.map((each) => `"${each}"`).join(', ')} in ${place}`,
      run: async () => {
        await cache.invalidateTags([...tag])
        return null
      },
    }
  }
  if (prefix === undefined) {
    const run = async () => {
      await cache.clear()
      return null
    }
    const consequence = cache.name === 'session' ? ', and sign out all users' : ''
    return { action: `Delete all entries of ${place}${consequence}`, run }
  }
  const run = (show: ShowProgress) => clearPrefix(cache, prefix, show)
  return { action: `Delete the entries of ${place} whose keys begin with "${prefix}"`, run }
}

/** On a backend that cannot list its keys, only a namespace can be cleared. */
async function clearPrefix(
  cache: Cache,
  prefix: string,
  show: ShowProgress,
): Promise<number | null> {
  try {
    return await deleteListed(cache, prefix, show)
  } catch (error) {
    if (!CacheError.is(error) || error.code !== 'ERR_CACHE_UNSUPPORTED') throw error
    if (!prefix.endsWith(':')) {
      throw new CommandError(
        `${cache.driver} cannot list its keys. Only a namespace can be cleared: a prefix that ends with a colon.`,
      )
    }
    const names = prefix.slice(0, -1).split(':')
    await names.reduce((inner, name) => inner.namespace(name), cache).clear()
    return null
  }
}

async function deleteListed(cache: Cache, prefix: string, show: ShowProgress): Promise<number> {
  let deleted = 0
  let page: string[] = []
  const flush = async () => {
    deleted += page.length === 0 ? 0 : await cache.deleteMany(page)
    page = []
    show(`Deleted ${entries(deleted)}`)
  }
  for await (const key of cache.keys()) {
    if (key.startsWith(prefix)) page.push(key)
    if (page.length >= pageSize) await flush()
  }
  await flush()
  return deleted
}

function report(
  cache: Cache,
  { prefix, tag, json }: ClearOptions,
  deleted: number | null,
  output: Output,
): void {
  const { name: store, driver } = cache
  if (json) {
    const selection = { prefix: prefix ?? null, tags: tag ?? null }
    output.json({ command: 'clear', store, driver, ...selection, deleted })
    return
  }
  const { green } = output.colors
  output.line(`${green('✓')} ${outcome(deleted, prefix, tag)} in ${store}.`)
}

function outcome(deleted: number | null, prefix?: string, tag?: readonly string[]): string {
  if (tag !== undefined) return `Invalidated ${tag.join(', ')}`
  if (prefix === undefined) return 'Deleted all entries'
  return `Deleted ${deleted === null ? 'all entries' : entries(deleted)} with the prefix ${prefix}`
}

function entries(count: number): string {
  return count === 1 ? '1 entry' : `${count} entries`
}
