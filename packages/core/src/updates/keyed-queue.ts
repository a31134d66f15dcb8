/** Runs the tasks of each key one after another, whether or not the previous one failed. */
export class KeyedQueue {
  readonly #lastTasks = new Map<string, Promise<unknown>>()

  run<T>(key: string, task: () => Promise<T>): Promise<T> {
    const previous = this.#lastTasks.get(key)
    const result = previous === undefined ? task() : previous.then(task, task)
    this.#lastTasks.set(key, result)
    const cleanUp = () => {
      if (this.#lastTasks.get(key) === result) this.#lastTasks.delete(key)
    }
    result.then(cleanUp, cleanUp)
    return result
  }
}
