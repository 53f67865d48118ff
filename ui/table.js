// Rows of one chart: times rising, a column a series, null where nothing is known. No DOM here.

export class Table {
  /** @param {string[]} columns */
  constructor(columns) {
    this.columns = columns;
    this.index = new Map(columns.map((name, i) => [name, i]));
    this.rows = []; // [Date, value…]
  }

  /** Put a value at a time; a column that is new widens the table. @returns {boolean} whether it was widened */
  put(name, ms, value) {
    let column = this.index.get(name);
    const wider = column === undefined;
    if (wider) {
      column = this.columns.push(name) - 1;
      this.index.set(name, column);
      for (const row of this.rows) row.push(null);
    }
    const at = this.find(ms);
    if (at < this.rows.length && this.rows[at][0].getTime() === ms) {
      this.rows[at][column + 1] = value;
    } else {
      const row = [new Date(ms), ...this.columns.map(() => null)];
      row[column + 1] = value;
      this.rows.splice(at, 0, row);
    }
    return wider;
  }

  /** @returns {number} the first row at or after a time */
  find(ms) {
    let low = 0;
    let high = this.rows.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.rows[middle][0].getTime() < ms) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Forget rows before a time. */
  trim(ms) {
    const at = this.find(ms);
    if (at > 0) this.rows.splice(0, at);
  }
}
