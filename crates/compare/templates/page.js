'use strict';
// The document is complete without this script. It adds sorting, choosing and hovering. It inserts text only as text
// nodes, never as markup.
(() => {
  const data = JSON.parse(document.getElementById('data').textContent);
  const all = (selector, inside = document) => [...inside.querySelectorAll(selector)];
  const make = (name, properties = {}, ...children) => {
    const element = Object.assign(document.createElement(name), properties);
    element.append(...children);
    return element;
  };
  const labeled = (text, control) => make('label', {}, text, control);
  const picker = (names, picked) => {
    const select = make('select');
    names.forEach((name, index) => select.append(make('option', { value: index, textContent: name })));
    select.selectedIndex = picked;
    return select;
  };

  // Tables: a button in each heading sorts by its column. Cells without a value stay last.
  const key = (row, column) => {
    const cell = row.cells[column];
    const sort = cell.dataset.sort;
    return sort === undefined ? cell.textContent.trim() : Number(sort);
  };
  const compare = (left, right) => {
    if (typeof left === 'number' && typeof right === 'number') return left - right;
    if (typeof left !== typeof right) return typeof left === 'number' ? -1 : 1;
    return left.localeCompare(right, 'en', { numeric: true });
  };
  const sort = (table, column, ascending) => {
    const rows = all('tbody tr', table).map((row) => ({ row, key: key(row, column) }));
    rows.sort((left, right) => {
      if (left.key === '' || right.key === '') return (left.key === '') - (right.key === '');
      return ascending ? compare(left.key, right.key) : compare(right.key, left.key);
    });
    table.tBodies[0].append(...rows.map(({ row }) => row));
    all('thead th', table).forEach((head, index) => {
      if (index === column) head.setAttribute('aria-sort', ascending ? 'ascending' : 'descending');
      else head.removeAttribute('aria-sort');
    });
  };
  // What the reader has chosen in tables whose rows are on the server. It outlives the content of a live page.
  const kept = (window.kilnTables ??= {});
  for (const table of all('table.sortable')) {
    const box = table.parentElement;
    const heads = all('thead th', table);
    const names = heads.map((head) => head.textContent);
    const remote = table.dataset.rows ? paged(table, heads, names) : undefined;
    heads.forEach((head, column) => {
      const button = make('button', { type: 'button', textContent: head.textContent });
      button.addEventListener('click', () => {
        const ascending = head.getAttribute('aria-sort') !== 'ascending';
        if (remote) remote({ sort: names[column], descending: ascending ? '' : '1', from: 0 });
        else sort(table, column, ascending);
      });
      head.replaceChildren(button);
      if (column === 0 && !remote) head.setAttribute('aria-sort', 'ascending');
    });
    const controls = make('div', { className: 'controls' });
    const filter = make('input', { type: 'search', value: kept[table.id]?.words ?? '' });
    const tags = (table.dataset.tags ?? '').split(' ').filter(Boolean);
    const tag = picker(['all', ...tags], 1 + tags.indexOf(kept[table.id]?.tagged));
    const tagged = () => (tag.selectedIndex > 0 ? tags[tag.selectedIndex - 1] : '');
    const select = () => {
      if (remote) {
        remote({ words: filter.value, tagged: tagged(), from: 0 });
        return;
      }
      const words = filter.value.toLowerCase().split(/\s+/);
      for (const row of table.tBodies[0].rows) {
        const text = row.textContent.toLowerCase();
        const own = (row.dataset.tags ?? '').split(' ');
        row.hidden = !words.every((word) => text.includes(word)) || (tagged() !== '' && !own.includes(tagged()));
      }
    };
    filter.addEventListener('input', select);
    tag.addEventListener('change', select);
    if (remote || table.tBodies[0].rows.length > 12) controls.append(labeled('filter rows', filter));
    if (tags.length) controls.append(labeled('tag', tag));
    if (controls.childElementCount) box.parentElement.before(controls);
    columns(table, heads, names);
  }

  // A table of which the server has the rows: it sorts, filters and sends a part of them. The result changes what is shown.
  function paged(table, heads, names) {
    const step = Number(table.dataset.shown);
    const state = (kept[table.id] ??= { words: '', tagged: '', sort: '', descending: '', from: 0 });
    const info = make('span', { role: 'status' });
    const [back, next] = ['Previous', 'Next'].map((textContent) => make('button', { type: 'button', className: 'turn', textContent }));
    const tell = (from, matching) => {
      const rows = table.tBodies[0].rows.length;
      const number = (value) => value.toLocaleString('en');
      const some = matching < Number(table.dataset.all) ? ' that match' : '';
      info.textContent = rows ? `Rows ${number(from + 1)} to ${number(from + rows)} of ${number(matching)}${some}.` : 'No row matches.';
      back.disabled = from === 0;
      next.disabled = from + rows >= matching;
    };
    const mark = () => heads.forEach((head, column) => {
      const isSorted = state.sort ? names[column] === state.sort : column === 0;
      if (isSorted) head.setAttribute('aria-sort', state.descending ? 'descending' : 'ascending');
      else head.removeAttribute('aria-sort');
    });
    let asked = 0;
    const load = async () => {
      asked += 1;
      const own = asked;
      const query = new URLSearchParams(Object.entries(state).filter(([name, value]) => value && name !== 'body'));
      // A reader who types does not ask for each letter.
      await new Promise((done) => { setTimeout(done, 150); });
      if (own !== asked || !table.isConnected) return;
      const response = await fetch(`${table.dataset.rows}&${query}`).catch(() => undefined);
      const text = response?.ok ? await response.text() : '';
      // Meanwhile, the reader may have asked for others, and the content may have been replaced.
      if (own !== asked || !table.isConnected || !text) return;
      const answer = new DOMParser().parseFromString(text, 'text/html').querySelector('table');
      // Runs that were removed leave fewer rows than the reader has turned over.
      const matching = Number(answer.dataset.matching);
      if (state.from >= matching && state.from > 0) {
        state.from = Math.max(0, Math.ceil(matching / step) * step - step);
        load();
        return;
      }
      table.tBodies[0].replaceChildren(...answer.tBodies[0].rows);
      tell(state.from, matching);
      table.dispatchEvent(new Event('rows'));
      state.body = table.tBodies[0];
    };
    const turn = (by) => {
      state.from = Math.max(0, state.from + by);
      load();
      table.parentElement.scrollTo({ top: 0 });
    };
    back.addEventListener('click', () => turn(-step));
    next.addEventListener('click', () => turn(step));
    const pager = make('div', { className: 'controls' }, info, back, next);
    table.parentElement.parentElement.after(pager);
    tell(0, Number(table.dataset.all));
    mark();
    if (state.words || state.tagged || state.sort || state.from) {
      // The rows of before, until the server has answered.
      if (state.body?.rows[0]?.cells.length === heads.length) table.tBodies[0].replaceWith(state.body);
      load();
    }
    return (changes) => {
      if (Object.entries(changes).every(([name, value]) => name === 'from' || state[name] === value)) return;
      Object.assign(state, changes);
      mark();
      load();
    };
  }

  // Further columns of a table are hidden from the right until it fits its box. The reader can choose the columns.
  function columns(table, heads, names) {
    const box = table.parentElement;
    const further = heads.map((head, column) => column).filter((column) => heads[column].classList.contains('extra'));
    const show = (column, shown) => {
      for (const row of table.rows) row.cells[column].hidden = !shown;
    };
    const summary = make('summary');
    const boxes = further.map((column) => {
      const check = make('input', { type: 'checkbox', checked: true });
      check.addEventListener('change', () => {
        table.classList.add('chosen');
        show(column, check.checked);
        settle();
      });
      return check;
    });
    const settle = () => {
      const hidden = boxes.filter((check) => !check.checked).length;
      summary.textContent = `columns: ${heads.length - hidden} of ${heads.length}`;
      fix();
      edges(box);
    };
    // As many leading columns stay in place as leave more than half of the box to the others.
    const fix = () => {
      let left = 0;
      for (let column = 0; column < 6; column += 1) {
        const width = heads[column]?.offsetWidth ?? 0;
        const fits = column < Number(table.dataset.fixed) && left + width <= 0.45 * box.clientWidth;
        table.classList.toggle(`fix${column + 1}`, fits);
        if (!fits) break;
        table.style.setProperty(`--at${column + 1}`, `${left}px`);
        left += width;
      }
    };
    table.addEventListener('rows', () => {
      boxes.forEach((check, index) => { if (!check.checked) show(further[index], false); });
      settle();
    });
    const fit = () => {
      let excess = table.offsetWidth - box.clientWidth;
      for (let index = further.length - 1; index >= 0 && excess > 0; index -= 1) {
        excess -= heads[further[index]].offsetWidth;
        boxes[index].checked = false;
        show(further[index], false);
      }
    };
    if (further.length) {
      const labels = further.map((column, index) => make('label', {}, boxes[index], names[column]));
      box.parentElement.before(make('details', { className: 'chooser' }, summary, make('div', { className: 'controls' }, ...labels)));
    }
    // A table in a closed part of the page has no width until the reader opens it.
    let fitted = false;
    const layOut = () => {
      if (!fitted && box.clientWidth > 0) {
        fitted = true;
        fit();
      }
      settle();
    };
    new ResizeObserver(layOut).observe(box);
    layOut();
  }

  // Shadows at the edges of what can be scrolled.
  function edges(box) {
    const [left, right, hint] = box.edges ?? [];
    if (!left) return;
    const more = box.scrollWidth - box.clientWidth - box.scrollLeft;
    left.classList.toggle('on', box.scrollLeft > 1);
    right.classList.toggle('on', more > 1);
    hint.hidden = box.scrollWidth - box.clientWidth <= 1;
  }
  for (const box of all('.scroll, .pan')) {
    const shades = ['left', 'right'].map((side) => make('div', { className: `shade ${side}` }));
    const hint = make('p', { className: 'hint', textContent: 'Scroll sideways to see the rest.', hidden: true });
    const frame = make('div', { className: 'frame' });
    box.replaceWith(frame, hint);
    frame.append(box, ...shades);
    box.edges = [...shades, hint];
    box.addEventListener('scroll', () => edges(box), { passive: true });
    new ResizeObserver(() => edges(box)).observe(box);
    edges(box);
  }

  // Charts to choose from: one select for each name that has more than one value.
  for (const choice of all('.choice')) {
    const figures = all('figure', choice).map((figure) => ({ figure, choices: JSON.parse(figure.dataset.choices) }));
    if (figures.length < 2) continue;
    const controls = make('div', { className: 'controls' });
    const picked = { ...figures[0].choices };
    const show = (changed) => {
      const fits = ({ choices }) => Object.keys(picked).every((name) => choices[name] === picked[name]);
      const first = figures.find(fits) ?? figures.find(({ choices }) => choices[changed] === picked[changed]);
      figures.forEach((one) => { one.figure.hidden = one !== first; });
      Object.assign(picked, first.choices);
      all('select', controls).forEach((select) => { select.value = picked[select.name]; });
    };
    for (const name of Object.keys(picked)) {
      const values = [...new Set(figures.map(({ choices }) => choices[name]))];
      if (values.length < 2) continue;
      const select = make('select', { name });
      values.forEach((value) => select.append(make('option', { value, textContent: value })));
      select.addEventListener('change', () => { picked[name] = select.value; show(name); });
      controls.append(labeled(name, select));
    }
    choice.prepend(controls, ...figures.map(({ figure }) => figure));
    choice.querySelector('details').remove();
    show('');
  }

  // The keys of a legend show and hide their lines, in all charts of a section.
  for (const section of all('section')) {
    const keys = all('.kiln-chart .key', section);
    if (!keys.length) continue;
    const toggle = (key) => {
      const { line } = key.dataset;
      const others = Boolean(key.querySelector('.other'));
      const off = !key.classList.contains('off');
      const same = (element) => others ? element.querySelector('.other') : element.dataset.line === line;
      for (const element of all('.key, .run', section)) {
        if (!same(element)) continue;
        element.classList.toggle('off', off);
        if (element.classList.contains('key')) element.setAttribute('aria-pressed', String(!off));
      }
    };
    for (const key of keys) {
      key.closest('svg').setAttribute('role', 'group');
      key.classList.add('toggle');
      key.setAttribute('role', 'button');
      key.setAttribute('tabindex', '0');
      key.setAttribute('aria-pressed', 'true');
      key.addEventListener('click', () => toggle(key));
      key.addEventListener('keydown', (event) => {
        if (event.key !== 'Enter' && event.key !== ' ') return;
        event.preventDefault();
        toggle(key);
      });
    }
  }

  // Curves: the line below the chart shows the run and the value of the point nearest to the pointer.
  for (const figure of all('#curves figure')) {
    const svg = figure.querySelector('svg');
    const curves = data.curves[JSON.parse(figure.dataset.choices).metric];
    const readout = make('p', { className: 'readout', textContent: 'Point at a curve to see its values. Click on the legend to hide or show lines.' });
    figure.append(readout);
    const runs = all('.run[data-run]', svg).map((group) => ({
      group,
      curve: curves[Number(group.dataset.run)],
      points: [...group.querySelector('path').getAttribute('d').matchAll(/[ML](\S+) ([^ML]+)/g)].map((match) => [Number(match[1]), Number(match[2])]),
    }));
    // Without this, the browser would show the title as a tooltip, in addition to the readout.
    runs.forEach(({ group }) => group.querySelector('title')?.remove());
    let marked = null;
    const mark = (run) => {
      if (marked === run) return;
      marked?.group.classList.remove('near');
      run?.group.classList.add('near');
      marked = run;
    };
    svg.addEventListener('pointermove', (event) => {
      const matrix = svg.getScreenCTM();
      if (!matrix) return;
      const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(matrix.inverse());
      let nearest = null;
      for (const run of runs) {
        if (run.group.classList.contains('off')) continue;
        run.points.forEach(([x, y], index) => {
          const distance = Math.hypot(x - at.x, y - at.y);
          if (!nearest || distance < nearest.distance) nearest = { run, index, distance };
        });
      }
      if (!nearest || nearest.distance > 60) return mark(null);
      const { run: { curve }, index } = nearest;
      mark(nearest.run);
      const range = curve.ranges?.[index]?.map((value) => value.toFixed(4)).join(' to ');
      readout.textContent = `${curve.words}: epoch ${curve.epochs[index]}, ${curve.values[index].toFixed(4)}${range ? ` (${range})` : ''}`;
    });
    svg.addEventListener('pointerleave', () => mark(null));
  }

  // Two runs: their settings, their confusion matrices, and the difference of the matrices.
  const view = document.getElementById('pair-view');
  if (view && data.runs.length > 1) {
    const names = data.runs.map(({ name }) => name);
    const selects = [picker(names, 0), picker(names, 1)];
    const show = () => view.replaceChildren(...pair(...selects.map((select) => data.runs[select.selectedIndex])));
    selects.forEach((select) => select.addEventListener('change', show));
    const controls = make('div', { className: 'controls', id: 'pair-controls' }, labeled('A', selects[0]), labeled('B', selects[1]));
    view.before(controls);
    show();
  }

  function pair(first, second) {
    const parts = [settings(first, second)];
    const matrices = make('div', { className: 'matrices' });
    matrices.append(matrix(`A: ${first.name}`, first.classes, first.confusion, false));
    matrices.append(matrix(`B: ${second.name}`, second.classes, second.confusion, false));
    const alike = first.classes.length === second.classes.length && first.classes.every((name, index) => name === second.classes[index]);
    if (alike) {
      const difference = second.confusion.map((row, label) => row.map((count, predicted) => count - first.confusion[label][predicted]));
      matrices.append(matrix('Difference, B minus A: blue is better, orange is worse', first.classes, difference, true));
      parts.push(changes(first.classes, difference));
    } else {
      parts.push(make('p', { className: 'note', textContent: 'The runs have different classes, so the difference of their matrices is not shown.' }));
    }
    return [...parts, matrices];
  }

  function settings(first, second) {
    const rows = first.settings.map(([key, value], index) => [key, value, second.settings[index][1]]).filter(([, one, other]) => one !== other);
    if (!rows.length) return make('p', { className: 'note', textContent: 'The runs have the same settings.' });
    const head = make('tr', {}, ...['setting', 'A', 'B'].map((textContent) => make('th', { scope: 'col', textContent })));
    const body = rows.map(([key, one, other]) => make('tr', {}, make('th', { scope: 'row', textContent: key }), make('td', { textContent: one ?? '' }), make('td', { textContent: other ?? '' })));
    const table = make('table', {}, make('caption', { textContent: 'Settings that differ' }), make('thead', {}, head), make('tbody', {}, ...body));
    return make('div', { className: 'scroll' }, table);
  }

  // The largest changes in the number of mistakes, as a list.
  function changes(classes, difference) {
    const cells = difference.flatMap((row, label) => row.map((count, predicted) => ({ label, predicted, count })));
    const mistakes = cells.filter(({ label, predicted, count }) => label !== predicted && count !== 0);
    mistakes.sort((left, right) => Math.abs(right.count) - Math.abs(left.count));
    if (!mistakes.length) return make('p', { className: 'note', textContent: 'Both runs made the same mistakes equally often.' });
    const items = mistakes.slice(0, 5).map(({ label, predicted, count }) => make('li', {
      textContent: `${classes[label]} classified as ${classes[predicted]}: ${Math.abs(count)} ${count > 0 ? 'more' : 'fewer'} in B`,
    }));
    return make('div', {}, make('p', { className: 'note', textContent: 'The largest changes in mistakes:' }), make('ul', { className: 'changes' }, ...items));
  }

  function matrix(title, classes, cells, signed) {
    const figure = make('figure', {}, make('figcaption', { textContent: title }));
    if (classes.length > 40) {
      figure.append(picture(classes, cells, signed));
      return figure;
    }
    const shades = shadesOf(cells, signed);
    const head = make('tr', {}, make('td', { textContent: 'true \\ predicted' }), ...classes.map((name) => make('th', { scope: 'col', textContent: name })));
    const body = cells.map((row, label) => {
      const shown = row.map((count, predicted) => {
        const words = written(count, signed);
        const cell = make('td', { textContent: words, title: `true ${classes[label]}, predicted ${classes[predicted]}: ${words}` });
        if (count === 0) cell.className = 'zero';
        else cell.style.backgroundColor = shades(label, predicted);
        return cell;
      });
      return make('tr', {}, make('th', { scope: 'row', textContent: classes[label] }), ...shown);
    });
    figure.append(make('table', { className: 'matrix' }, make('thead', {}, head), make('tbody', {}, ...body)));
    return figure;
  }

  // Too many classes for a table with names: each cell has a few pixels, and its tooltip shows the numbers.
  function picture(classes, cells, signed) {
    const side = Math.max(2, Math.floor(340 / classes.length));
    const canvas = make('canvas', { width: side * classes.length, height: side * classes.length, className: 'matrix' });
    const drawing = canvas.getContext('2d');
    const shades = shadesOf(cells, signed);
    cells.forEach((row, label) => row.forEach((count, predicted) => {
      if (count === 0) return;
      drawing.fillStyle = shades(label, predicted);
      drawing.fillRect(predicted * side, label * side, side, side);
    }));
    canvas.addEventListener('pointermove', (event) => {
      const [predicted, label] = [event.offsetX, event.offsetY].map((place) => Math.floor(place / side));
      const count = cells[label]?.[predicted];
      canvas.title = count === undefined ? '' : `true ${classes[label]}, predicted ${classes[predicted]}: ${written(count, signed)}`;
    });
    return canvas;
  }

  // Pictures of mistakes are images with captions on white paper. The dark theme shows a copy whose paper is dark.
  for (const image of all('.pictures img')) {
    const addCopy = () => {
      const copy = image.naturalWidth > 0 && onDarkPaper(image);
      if (copy) image.after(copy);
    };
    if (image.complete) addCopy();
    else image.addEventListener('load', addCopy);
  }

  // A copy of a picture in which everything outside of the frames of its images has the opposite lightness; nothing if the
  // picture has no white paper.
  function onDarkPaper(image) {
    const [width, height] = [image.naturalWidth, image.naturalHeight];
    const canvas = make('canvas', { width, height, className: 'dark', ariaLabel: image.alt, role: 'img' });
    const drawing = canvas.getContext('2d');
    drawing.drawImage(image, 0, 0);
    const picture = drawing.getImageData(0, 0, width, height);
    const bytes = picture.data;
    const has = (place, ...color) => color.every((part, channel) => bytes[4 * place + channel] === part);
    if (!has(0, 255, 255, 255)) return undefined;
    const paper = [22, 25, 29];
    const seen = new Uint8Array(width * height);
    const open = [0];
    seen[0] = 1;
    while (open.length > 0) {
      const place = open.pop();
      const x = place % width;
      for (const next of [x > 0 ? place - 1 : -1, x < width - 1 ? place + 1 : -1, place - width, place + width]) {
        // The color of the frames.
        if (next < 0 || next >= seen.length || seen[next] || has(next, 208, 213, 219)) continue;
        seen[next] = 1;
        open.push(next);
      }
      const color = bytes.subarray(4 * place, 4 * place + 3);
      const shift = 255 - Math.max(...color) - Math.min(...color);
      color.forEach((part, channel) => { color[channel] = paper[channel] + ((part + shift) * (255 - paper[channel])) / 255; });
    }
    drawing.putImageData(picture, 0, 0);
    return canvas;
  }

  function written(count, signed) {
    return signed && count > 0 ? `+${count}` : String(count).replace('-', '−');
  }

  // The color of a cell. The color of a count shows its share of the row. The color of a difference shows whether it is
  // better: more on the diagonal, fewer elsewhere. The opacity is at most one half, so that text is legible on it in the
  // light and the dark theme.
  function shadesOf(cells, signed) {
    const most = Math.max(1, ...cells.map((row) => Math.max(...row.map(Math.abs))));
    const sums = cells.map((row) => row.reduce((total, count) => total + count, 0));
    return (label, predicted) => {
      const count = cells[label][predicted];
      const blue = !signed || (count > 0) === (label === predicted);
      const share = signed ? Math.abs(count) / most : count / (sums[label] || 1);
      return `rgba(${blue ? '0,114,178' : '213,94,0'},${(0.5 * share ** 0.6).toFixed(3)})`;
    };
  }
})();
