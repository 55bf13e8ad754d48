"""What every layer uses: errors, settings, progress, robust statistics, sampling, trends in time."""
