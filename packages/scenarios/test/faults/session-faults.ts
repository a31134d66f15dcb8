import type { Change } from '../mutant.ts'

/** Faults of sessions that other libraries have, each as a change of the built package. */
export const sessionFaults: readonly (readonly [name: string, change: Change, calls?: number])[] = [
  [
    'a merge has the wrong base',
    ['shared.js', 'return merge(view, ours, theirs);', 'return merge(theirs, ours, theirs);'],
  ],
  [
    'a merge takes what was stored as what the request has seen',
    [
      'shared.js',
      'baseline.update(next, ours);\n\t\t\treturn "saved";\n\t\t});',
      'baseline.update(next, stored.text);\n\t\t\treturn "saved";\n\t\t});',
    ],
  ],
  [
    'a save revives a session that has ended',
    [
      'shared.js',
      'if (seen === void 0 || seen === "ended") return this.#drop(target, "ended");',
      'if (seen === void 0 || seen === "ended") return this.put(target, ours);',
    ],
  ],
  [
    'a save overwrites what others have stored',
    [
      'shared.js',
      'const text = this.#combine(key, view, ours, seen.stored.text);',
      'const text = ours;',
    ],
  ],
  [
    'a save that was refused counts as stored',
    [
      'shared.js',
      'seen = await this.#reader.readToWrite(key, target.id);\n\t\t\t\treturn conflict;',
      'return "saved";',
    ],
  ],
  [
    'an expiry is moved by storing the session without a comparison',
    [
      'shared.js',
      'const next = await this.#replace(target.id, seen, stored);\n\t\tif (next === void 0) return "unchanged";',
      'await this.put(target, stored.text);\n\t\tconst next = baseline.seen;',
    ],
  ],
  [
    'an id that exists is overwritten',
    ['shared.js', 'throw this.#alreadyExists(key);', 'return this.put(target, ours);'],
  ],
  [
    'a login after a clear is missed by other processes',
    ['shared.js', 'confirmGeneration: "on-miss"', 'confirmGeneration: false'],
  ],
  [
    'a logout with an old id leaves the session that it leads to',
    [
      'shared.js',
      'if (next !== void 0) keys.push(next);\n\t\t\tconst isFound = next === void 0 || await this.#deleteMoved(next, keys, path);',
      'const isFound = true;',
    ],
  ],
  [
    'a rotation leaves a copy of a session that another request has ended',
    [
      'shared.js',
      'if (!isReplaced) await rotated.delete();',
      'if (!isReplaced) return seenOf(newKey, rotated, draft);',
    ],
  ],
  [
    'a rotation overwrites what others have stored',
    [
      'shared.js',
      'const isReplaced = await snapshot.replace(pointer, { ttl: Math.max(graceMs, longestRequestMs) });',
      'await this.#context.cache.set(key, pointer, { ttl: longestRequestMs });\n\t\tconst isReplaced = true;',
    ],
  ],
  [
    'the old id stays valid after a new one was given',
    [
      'shared.js',
      'let isFound = await this.#delete(keys, id);',
      'let isFound = true;\n\t\tif (user !== id) return;',
    ],
  ],
  [
    'the end of all sessions of a user leaves those that are not listed',
    [
      'shared.js',
      'if (!found.stored.isListed) return await this.hasEnded(key, found, exists) ? void 0 : found;',
      'if (!found.stored.isListed) return found;',
    ],
  ],
  [
    'a session that is not listed is listed after the end of all others of its user',
    ['shared.js', 'before === user ? unlisted : void 0', 'void 0'],
  ],
  [
    'a logout leaves a session whose old id the backend has lost',
    [
      'shared.js',
      'const lostKey = isFound || seen === void 0 ? void 0 : firstKeyOfSeen(seen);',
      'const lostKey = void 0;',
    ],
    500,
  ],
]
